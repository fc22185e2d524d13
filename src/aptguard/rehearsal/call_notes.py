# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stand-in writes beside the record of its call, when its own lines have found what the call means.

The words of such a note are its mark, the name by which the program was called, and its arguments.
"""

from __future__ import annotations

from typing import Final

from aptguard.rehearsal import started_programs, unit_answers

UNANSWERED_CALL: Final = unit_answers.UNANSWERED  # no rehearsal can answer it as the machine does
UNCLEAR_CALL: Final = started_programs.UNCLEAR_CALL  # what follows from it is not seen
DONE_CALL: Final = unit_answers.DONE_CALL  # what comes of a call that others decide on
ACTING_CALL: Final = b"+"  # it would act on the machine; no other call of such a program would


def noted_as(mark: bytes, calls: bytes, caller: bytes) -> bytes:
    """Return the shell's command that notes the present call in ``calls``.

    ``caller`` is the word that says whose script it is, as the shell writes it.
    """
    words = caller + b" '" + mark + b'\' "${0##*/}" "$@"'
    return b"printf '%s\\0' \"$(($# + 3))\" " + words + b" >>" + calls + b" 2>/dev/null"
