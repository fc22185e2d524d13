# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions of this room; the message is a sentence for the administrator."""

from __future__ import annotations


class DpkgDatabaseError(Exception):
    """Part of dpkg's database could not be read.

    It must become the verdict ``unknown``: an unreadable list is not an empty one.
    """


class ArchiveError(Exception):
    """A .deb archive that is to be installed could not be read."""
