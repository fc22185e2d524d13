# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of the machine's units, fetched from outside when a script first asks about one.

With them comes what the machine runs in (see virtualization).

Most transactions ask nothing, and asking systemd takes as long as rehearsing them. So a stand-in inside
writes one byte into a FIFO, which says nothing but that somebody asks; the supervisor then runs one fixed
command on the machine, writes what it says into a file inside, and answers with a byte in another FIFO. No
word of a script's ever leaves the rehearsal this way. What the rehearsal does changes nothing outside, so
that the states are those from before it, whenever they are fetched.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from aptguard.rehearsal import linux
from aptguard.rehearsal.devices import PRIVATE

QUESTIONS: Final = PRIVATE + b"/questions-on-units"
ANSWERS: Final = PRIVATE + b"/answers-on-units"
STATES: Final = PRIVATE + b"/units"
_MOST_BYTES: Final = 3 << 20
_PROPERTIES: Final = (
    "Id,Names,Description,LoadState,ActiveState,SubState,FragmentPath,SourcePath,Type,MainPID,Result,"
    "CanReload"
)
# What systemctl says of a unit that does not exist differs by its version: so it is asked. Everything ends
# with this process, also by SIGKILL: timeout(1) would make a process group of its own, and no child inherits
# the signal for the death of a parent (PR_SET_PDEATHSIG). Hence also no shell between the two (exec).
_COMMAND: Final = f"""
within='setpriv --pdeathsig KILL timeout --foreground 5 setpriv --pdeathsig KILL'
ask="$within systemctl"
state=$(exec $ask is-system-running 2>/dev/null)
printf 'system %s %s\\n' "$state" $?
$ask --quiet is-active no-unit-of-this-name-is-there.service
printf 'missing %s\\n' $?
for what in container vm; do
    printf 'virtualization %s %s\\n' $what "$(exec $within systemd-detect-virt --$what 2>/dev/null)"
done
echo
$ask show --no-pager --all --property={_PROPERTIES} '*'
printf '\\nshown %s\\n' $?
"""
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}


def make_places() -> tuple[int, int, int]:
    """Make the two FIFOs and the file in the present root.

    Returns a descriptor of each for the supervisor: questions, answers, states. Raises OSError.
    """
    for path in (QUESTIONS, ANSWERS):
        os.mkfifo(path)
        os.chmod(path, 0o666)
    # Opened for both, so that neither end ever waits for the other to open.
    both = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
    questions, answers = os.open(QUESTIONS, both), os.open(ANSWERS, both)
    return questions, answers, os.open(STATES, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


class UnitStates:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._questions = self._answers = self._file = -1
        self._output = -1
        self._pid = -1
        self._text = bytearray()
        self._waiting = 0
        self._fetched = False

    def listen(self, questions: int, answers: int, states: int) -> None:
        """Take the descriptors that the init process made."""
        self._questions, self._answers, self._file = questions, answers, states

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to poll for input."""
        return tuple(fd for fd in (self._questions, self._output) if fd >= 0)

    def ready(self, fd: int) -> None:
        """Take in a question, or what the machine's systemctl says."""
        if fd == self._output:
            self._take_states()
            return
        with contextlib.suppress(BlockingIOError):
            self._waiting += len(os.read(self._questions, 4096))
        if self._fetched:
            self._answer()
        elif self._pid < 0:
            try:
                self._fetch()
            except OSError:  # no answer: the stand-in says so
                self._close_output()
                self._fetched = True
                self._answer()

    def close(self) -> None:
        """End the command if it still runs, and give the descriptors back."""
        self._end_command()
        self._close_output()
        for fd in (self._questions, self._answers, self._file):
            if fd >= 0:
                os.close(fd)
        self._questions = self._answers = self._file = -1

    def _end_command(self) -> None:
        pid, self._pid = self._pid, -1
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            linux.reaped_within(pid, 1.0)

    def _close_output(self) -> None:
        if self._output >= 0:
            os.close(self._output)
        self._output = -1

    def _fetch(self) -> None:
        # Whatever this process starts now would be in the rehearsal's pid namespace, where scripts could see
        # a process that has the machine's own root directory.
        outside = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(outside, linux.CLONE_NEWPID)
        finally:
            os.close(outside)
        self._output, output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        try:
            self._pid = os.posix_spawn(
                "/usr/bin/setpriv",
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _COMMAND],
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
                ],
                setpgroup=0,
            )
        finally:
            os.close(output)

    def _take_states(self) -> None:
        try:
            block = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return
        if block and len(self._text) <= _MOST_BYTES:
            self._text += block
            return
        self._close_output()
        self._end_command()
        self._fetched = True
        if not block:
            with contextlib.suppress(OSError):  # scripts may have filled the place: then there is no answer
                self._write(bytes(self._text) + b"end\n")
        self._answer()

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, data[written:], written)

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._answers, b"!" * self._waiting)
        self._waiting = 0
