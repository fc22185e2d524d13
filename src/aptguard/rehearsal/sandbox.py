# SPDX-License-Identifier: GPL-3.0-or-later
"""The init process of a rehearsal: builds its world, confines itself, runs dpkg, leaves nothing running.

It is pid 1 of a pid namespace: when it ends, for whatever reason, the kernel kills every process that the
scripts started, and with the last of them the mount namespace and all its mounts go.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from typing import NoReturn

from aptguard.rehearsal import linux
from aptguard.rehearsal.bounds import processes_exhausted
from aptguard.rehearsal.channel import plain, receive, send
from aptguard.rehearsal.confinement import confine
from aptguard.rehearsal.first_process import FirstProcess
from aptguard.rehearsal.model import Limits, RehearsalRequest, Step, Unknown
from aptguard.rehearsal.pending_triggers import with_waiting
from aptguard.rehearsal.questions import place_question_recorder
from aptguard.rehearsal.recorders import Placed, find_programs, place_recorders, still_ours
from aptguard.rehearsal.root_tree import build_root_tree
from aptguard.rehearsal.silenced import Silenced
from aptguard.rehearsal.tree_messages import send_tree
from aptguard.rehearsal.unit_states import make_places
from aptguard.shown import shown

_STATUS_FD = 3
_TICK_MS = 50
_NOT_OURS = (b"APT_HOOK_INFO_FD", b"APT_HOOK_SOCKET")


class _Stop(Exception):  # noqa: N818
    """The supervisor asked to stop, or is gone; or a bound was reached (the text says which)."""


def run_init(
    request: RehearsalRequest,
    control: socket.socket,
    output: int,
    status: int,
    silent: Mapping[bytes, str],
    disk: int | None = None,
) -> NoReturn:
    """Be pid 1 of the rehearsal until the supervisor is done with it; never returns.

    ``output`` is the pipe for what dpkg and the scripts write, ``status`` the one for dpkg's --status-fd.
    ``silent``: see build_root_tree. ``disk``: see make_workspace.
    """
    try:
        _guard_against_a_dead_supervisor(control)
        niceness = _come_first()
        silenced = Silenced(request.silenced)
        placed = _prepare(request, control, output, status, silent, disk, silenced)
        _wait_for(control, "go")
        _run(request, control, output, status, placed, silenced, niceness)
        while receive(control) is not None:
            pass
    except BaseException as error:
        with contextlib.suppress(OSError):
            send(control, "failed", reason=_sentence(error))
    os._exit(0)


def _come_first() -> int:
    """Let whoever looks at the bounds have a processor among thousands of processes; return what nice(2) was.

    What it starts does not inherit that (SCHED_RESET_ON_FORK, sched(7)). Without CAP_SYS_NICE all stays as
    it is: the scripts' sessions are scheduled apart (autogroups), or a control group bounds their number.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    return niceness


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror} ({shown(os.fsencode(error.filename))})"
    return f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error.strerror)


def _guard_against_a_dead_supervisor(control: socket.socket) -> None:
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    # A script can send pid 1 only those signals for which it has a handler, and Python has one for this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The supervisor may have died before that call, and from inside its pid cannot be seen: its end of the
    # socket tells.
    if select.select([control], [], [], 0)[0]:
        os._exit(1)


def _prepare(
    request: RehearsalRequest,
    control: socket.socket,
    output: int,
    status: int,
    silent: Mapping[bytes, str],
    disk: int | None,
    silenced: Silenced,
) -> tuple[Placed, ...]:
    first_process = FirstProcess()
    os.setsid()
    os.umask(0o077)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP)
    programs = find_programs()
    tree = build_root_tree(request.limits, silent, disk)
    # Not before: a sysfs shows the interfaces of the namespace that it was mounted in.
    linux.unshare(linux.CLONE_NEWNET)
    send_tree(tree, control)
    namespace = os.open(b"/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    ipv6 = os.path.exists("/proc/net/if_inet6")
    tree.unknowns += first_process.show(b"first-process", b"root/proc/1")
    os.chdir(b"root")
    linux.pivot_root(b".", b".")
    linux.umount2(b".", linux.MNT_DETACH)
    os.chdir(b"/")
    merged = os.open(b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    shared_memory: tuple[int, ...] = ()
    if tree.own_shared_memory:
        shared_memory = (os.open(b"/dev/shm", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),)
    os.umask(0o022)
    placed, not_placed = place_recorders(programs)
    listening, not_heard = place_question_recorder(request.answers)
    silenced.cover_read_only()
    silenced.silence()
    tree.unknowns += [Unknown("what is asked of running services", sentence) for sentence in not_placed]
    tree.unknowns += [Unknown("what debconf is asked", sentence) for sentence in not_heard]
    send(control, "units", make_places())
    loopback_is_off = _raise_loopback()
    send(
        control,
        "built",
        (merged, namespace, *shared_memory),
        unknowns=[
            {"what": unknown.what, "reason": unknown.reason, "path": plain(unknown.path)}
            for unknown in tree.unknowns
        ],
        notes=[*tree.notes, *filter(None, [loopback_is_off])],
    )
    _close_all_but(control.fileno(), output, status)
    listener, missing = confine(ipv6)
    # From here on a script may have changed the file that an import would read.
    sys.meta_path.clear()
    heard = () if listener is None else (listener,)
    send(
        control,
        "ready",
        heard,
        notes=missing,
        recorders=[plain(one.path) for one in placed if one.records_all],
        listening=[plain(one.path) for one in (*placed, *listening) if not one.records_all],
        ours=[one.identity for one in (*placed, *listening)],
    )
    for fd in heard:
        os.close(fd)  # with it a script could let through, or hold, whatever calls another one makes
    return (*placed, *listening)


def _raise_loopback() -> str | None:
    """Switch ``lo`` on, so that a script meets a refused connection and not an unreachable network.

    Returns a sentence when it stays off: containers often have no CAP_NET_ADMIN.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        try:
            # netdevice(7): SIOCSIFFLAGS with IFF_UP | IFF_RUNNING
            fcntl.ioctl(end, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
        except OSError as error:
            return f"the loopback of the rehearsal is off ({error.strerror}): connecting finds no network"
    return None


def _close_all_but(*kept: int) -> None:
    first = 0
    for fd in sorted(kept):
        if fd > first:
            linux.close_range(first, fd - 1)
        first = fd + 1
    linux.close_range(first)
    null = os.open(b"/dev/null", os.O_RDWR)
    os.set_inheritable(null, True)  # it is the standard input of the calls: /dev/null may be gone by then
    for fd in range(3):
        if fd != null and fd not in kept:
            os.dup2(null, fd)


def _wait_for(control: socket.socket, kind: str) -> None:
    message = receive(control)
    if message is None or message[0].get("kind") != kind:
        raise _Stop("the supervisor did not let the rehearsal begin")


def _run(
    request: RehearsalRequest,
    control: socket.socket,
    output: int,
    status: int,
    placed: tuple[Placed, ...],
    silenced: Silenced,
    niceness: int,
) -> None:
    reason = ""
    try:
        for number, step in enumerate(request.steps):
            silenced.silence()  # what was unpacked may have brought another
            started = time.monotonic()
            called, left_out = with_waiting(step)
            exit_status = 0
            if called is not None:
                seconds = request.limits.trigger_seconds if called.triggers else None
                pid = _start(request, called, output, status, niceness)
                exit_status = _watch(pid, control, request.limits, seconds)
            send(
                control,
                "step",
                number=number,
                status=exit_status,
                seconds=time.monotonic() - started,
                left_out=[plain(package) for package in left_out],
            )
            _receive_next(control)
            if exit_status != 0:
                break
        leftovers = _wait_for_leftovers(control, request.limits)
    except _Stop as stop:
        reason = str(stop)
        leftovers = []
    _kill_the_rest()
    silenced.give_back()
    untouched, altered = still_ours(placed)
    send(
        control,
        "quiet",
        stopped=reason,
        leftovers=leftovers[:50],
        untouched=[plain(path) for path in untouched],
        altered=[plain(path) for path in altered],
    )


def _start(request: RehearsalRequest, step: Step, output: int, status: int, niceness: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        if niceness > 0:
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        _become(request, step, output, status)
    except BaseException as error:
        os.write(2, f"cannot run {shown(step.argv[0])}: {_sentence(error)}\n".encode())
    os._exit(127)


def _become(request: RehearsalRequest, step: Step, output: int, status: int) -> NoReturn:
    os.setsid()
    output, status = fcntl.fcntl(output, fcntl.F_DUPFD, 100), fcntl.fcntl(status, fcntl.F_DUPFD, 100)
    if step.stdin:
        source = os.memfd_create("stdin")
        os.write(source, step.stdin)
        os.lseek(source, 0, os.SEEK_SET)
        os.dup2(source, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(status, _STATUS_FD)
    linux.close_range(_STATUS_FD + 1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    os.umask(request.umask)
    # If memory runs out, the scripts go before anything else on the machine, and before the init process.
    with open("/proc/self/oom_score_adj", "wb") as file:
        file.write(b"1000")
    try:
        os.chdir(request.cwd)
    except OSError:
        os.chdir(b"/")
    environment = {name: value for name, value in request.environment.items() if name not in _NOT_OURS}
    # systemctl believes that this is no chroot, finds no systemd and fails; so it has to be told.
    environment[b"SYSTEMD_OFFLINE"] = b"1"
    # libudev takes only a sysfs for one, and here stands an overlay over it (sd-device).
    environment[b"SYSTEMD_DEVICE_VERIFY_SYSFS"] = b"0"
    # Refusals and dpkg's own words are read afterwards; this asks gettext for the words of the source.
    environment[b"LANGUAGE"] = b"en"
    argv = step.argv
    if os.path.basename(argv[0]) == b"dpkg":
        argv = (argv[0], b"--status-fd", b"%d" % _STATUS_FD, *argv[1:])
    os.execve(argv[0], argv, environment)


def _watch(pid: int, control: socket.socket, limits: Limits, seconds: float | None = None) -> int:
    """Wait for ``pid``, for ``seconds`` at most, reaping all; return its exit status or minus the signal."""
    deadline = None if seconds is None else time.monotonic() + seconds
    poller = select.poll()
    process = os.pidfd_open(pid)
    try:
        poller.register(control, select.POLLIN)
        poller.register(process, select.POLLIN)
        while True:
            events = {fd for fd, _ in poller.poll(_TICK_MS)}
            if control.fileno() in events:
                _receive_stop(control)
            for ended, status in _reaped():
                if ended == pid:
                    return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() > deadline:
                raise _Stop(f"the triggers were not done after {seconds:g} seconds (limits.trigger_seconds)")
            if not events:
                _check_bounds(limits)
    finally:
        os.close(process)


def _receive_stop(control: socket.socket) -> None:
    message = receive(control)
    raise _Stop("" if message is not None else "the supervisor is gone")


def _receive_next(control: socket.socket) -> None:
    """Wait until the supervisor has put right what the step has replaced (see RenewedStandIns)."""
    message = receive(control)
    if message is None or message[0].get("kind") != "next":
        raise _Stop("" if message is not None else "the supervisor is gone")


def _reaped() -> list[tuple[int, int]]:
    ended = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, status))
    return ended


def _check_bounds(limits: Limits) -> None:
    reason = processes_exhausted(limits)
    if reason is not None:
        raise _Stop(reason)


def _wait_for_leftovers(control: socket.socket, limits: Limits) -> list[str]:
    """Return the processes that are still there after the time for them has passed, as text."""
    deadline = time.monotonic() + limits.leftover_seconds
    pause = 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        if time.monotonic() > deadline:
            return _processes()
        if select.select([control], [], [], pause)[0]:
            _receive_stop(control)
        _check_bounds(limits)
        pause = min(pause * 2, 0.05)


def _processes() -> list[str]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read(4096).rstrip(b"\0").split(b"\0")
                found.append(shown(b" ".join(words))[:200] or "(a process without a command line)")
    return sorted(found)


def _kill_the_rest() -> None:
    """Kill and reap every other process of the namespace; returns when there is none."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
