# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard output that outlives its reader: a command ends with its own exit code, whoever stopped reading.

``aptguard check ... | head -1`` must not say 0, which is allow, of what is blocked.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Patient(io.FileIO):
    """A descriptor on which a closed pipe is no error: what nobody reads any more goes nowhere."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def patient_output() -> TextIO:
    """Return what sys.stdout is to be: the same descriptor, or nowhere where that is closed.

    A stream that is not the interpreter's own is returned as it is.
    """
    own, stream = sys.__stdout__, sys.stdout or nowhere()
    if own is None or stream is not own:
        return stream
    raw = _Patient(own.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=own.encoding, errors=own.errors, line_buffering=raw.isatty()
    )


def nowhere() -> TextIO:
    """Return a stream for what the caller has closed, and so wants nothing from; Python has None there."""
    return open(os.devnull, "w", encoding="utf-8")
