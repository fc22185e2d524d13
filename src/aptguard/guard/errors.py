# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard answers when it cannot do what it was asked."""

from __future__ import annotations


class GuardError(Exception):
    """A refusal with a ``name`` for programs and a sentence for people.

    The names are the errors of the interface io.github.aptguard: ``NoSuchTransaction``, ``NotBlocked``,
    ``NoSuchOverride``, ``InvalidParameter``, ``LedgerUnavailable``, ``CannotPlan``.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
