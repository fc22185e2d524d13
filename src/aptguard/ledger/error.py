# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that leaves the ledger."""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be read or written; the text is a sentence that says what was tried on what.

    Whoever catches it goes on without the ledger, which means: no override, no pause, and a loud record.
    """
