# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of this room."""

from __future__ import annotations


class DpkgDatabaseError(Exception):
    """Part of dpkg's database could not be read; the message is a sentence for the administrator.

    It must become the verdict ``unknown``: an unreadable list is not an empty one.
    """
