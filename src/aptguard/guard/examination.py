# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction from its plan to its report: rehearse, gather facts, judge.

Whatever fails on the way makes the verdict ``unknown`` with the reason; nothing that fails here may
raise to the caller, and nothing may end in ``allow``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date

from aptguard.guard.both_answers import Trial, with_both_answers
from aptguard.guard.driven_out import STATUS, with_driven_out
from aptguard.guard.limits import limits_for
from aptguard.guard.recording import Recording
from aptguard.host.archive_control import may_have_config_script
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.gather import files_to_collect, gather_facts
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Judgement, Verdict
from aptguard.policy.judge import judge, stop_prefixes
from aptguard.policy.model import Policy
from aptguard.policy.roles import left_out
from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import RehearsalRequest, RehearsalResult, Step, Unknown
from aptguard.rehearsal.rehearse import RehearsalCancelledError, rehearse
from aptguard.report.build import build_report
from aptguard.report.model import Report
from aptguard.shown import shown
from aptguard.transaction.archive_digest import archive_digests
from aptguard.transaction.fingerprint import fingerprint
from aptguard.transaction.model import Caller, Transaction

# What dpkg and apt call where hooks/dpkg.cfg.d/aptguard and hooks/05aptguard say so.
_HOOKS = tuple(b"/usr/libexec/aptguard/" + name for name in (b"dpkg-hook", b"apt-hook", b"apt-announce"))


class _CannotBeDoneError(Exception):
    """dpkg itself cannot carry out the transaction; the text says why, and what to do."""


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage ``name``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def examine(
    transaction: Transaction,
    caller: Caller,
    policy: Policy,
    *,
    database: DpkgDatabase,
    calls: tuple[Step, ...] | None = None,
    progress: Callable[[str], None] | None = None,
    mount_namespace: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    record: Callable[[str, Recording], None] | None = None,
) -> Report:
    """Return the report on ``transaction``; never raises for anything that the transaction can cause.

    Raises RehearsalCancelledError once ``cancelled`` says that nobody waits for the report any more.

    ``calls`` are the dpkg calls to rehearse; apt's own for the transaction where they are not given.
    ``mount_namespace`` is a descriptor of the caller's mount namespace (namespaces(7)), which the
    rehearsal enters first, so that it sees the machine as the real run will. ``record`` is given the
    transaction's fingerprint and all that the judgement was made from.
    """
    stopwatch = Stopwatch()
    archives = [item.archive for item in transaction.items if item.archive is not None]
    # What nobody has read is never the same again: an override of it must not fit another content.
    digests = dict.fromkeys(archives, f"unread {os.urandom(16).hex()}")
    result = RehearsalResult(steps=(), changes=(), complete=False)
    facts = Facts()
    try:
        with stopwatch.stage("digest"):
            digests = dict(archive_digests(archives))
        with stopwatch.stage("prepare"):
            _check_that_dpkg_can_write(database)
            planned = (
                steps(
                    transaction,
                    triggers=policy.rehearse_triggers,
                    left_out=left_out(policy.triggers),
                    preconfigured=transaction.preconfigured and any(map(may_have_config_script, archives)),
                )
                if calls is None
                else calls
            )
            request = _request(transaction, planned, caller, policy, database)
        today = date.today()

        def tried(answers: dict[bytes, bytes]) -> Trial:
            """Rehearse and judge; once more in full when what ended it early does not decide after all."""
            asked = replace(request, answers=answers)
            while True:
                with stopwatch.stage("rehearse"):
                    result = rehearse(
                        asked, progress=progress, mount_namespace=mount_namespace, cancelled=cancelled
                    )
                known = transaction
                if calls is not None:
                    known = with_driven_out(transaction, result.collected.get(STATUS), database)
                with stopwatch.stage("facts"):
                    facts = gather_facts(known, result, database, policy.roles)
                with stopwatch.stage("judge"):
                    judgement = judge(known, result, facts, policy, today)
                if not result.ended_early or judgement.verdict is Verdict.BLOCK:
                    return Trial(known, result, facts, judgement)
                asked = replace(asked, stop_patterns=())

        first = tried({})
        result, facts, judgement = first.result, first.facts, first.judgement
        # A block that was found stays one, whatever becomes of its recording.
        if record is not None:
            recording = Recording(first.transaction, result, facts, today.isoformat(), judgement)
            with suppress(OSError, ValueError):
                record(fingerprint(transaction, digests), recording)
        transaction, result, facts, judgement = with_both_answers(first, tried)
    except RehearsalCancelledError:
        raise
    except Exception as error:
        what = "dpkg" if isinstance(error, _CannotBeDoneError) else "the examination"
        failed = Unknown(what, str(error) or type(error).__name__)
        judgement = Judgement(Verdict.UNKNOWN, (), (*result.unknowns, failed))
    return build_report(
        transaction,
        caller,
        result,
        facts,
        judgement,
        fingerprint=fingerprint(transaction, digests),
        time=time.time(),
        host=socket.gethostname(),
        mode=policy.mode.value,
        timing={**stopwatch.seconds, **{f"rehearse.{k}": v for k, v in result.timing.items()}},
    )


def _check_that_dpkg_can_write(database: DpkgDatabase) -> None:
    """Raise _CannotBeDoneError where dpkg would fail, in the rehearsal as in the real run."""
    directory = database.administrative_directory
    with suppress(OSError):  # whoever reads it says what is wrong
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            raise _CannotBeDoneError(f"{shown(directory)} is on a read-only file system; make it writable")


def _archive_sizes(transaction: Transaction) -> Iterator[int]:
    for item in transaction.items:
        if item.archive is not None:
            with suppress(OSError):  # dpkg will say what is wrong with it
                yield os.stat(item.archive).st_size


def _request(
    transaction: Transaction,
    calls: tuple[Step, ...],
    caller: Caller,
    policy: Policy,
    database: DpkgDatabase,
) -> RehearsalRequest:
    environment = dict(caller.environment)
    listed = [
        path
        for item in transaction.items
        if not item.action.unpacks or item.old_version is not None
        for path in database.file_list(item.package, item.architecture)
    ]
    if transaction.script_path is not None:
        environment[b"PATH"] = transaction.script_path
    return RehearsalRequest(
        steps=calls,
        environment=environment,
        cwd=caller.cwd,
        umask=caller.umask,
        limits=limits_for(policy.limits, transaction, _archive_sizes(transaction)),
        collect=(
            *files_to_collect(transaction, database),
            *([STATUS] if transaction.frontend == "dpkg" else []),
        ),
        silenced=_HOOKS,
        # Where a package of the transaction has files of its own, a deletion there decides nothing yet.
        stop_patterns=tuple(
            prefix
            for prefix in stop_prefixes(policy)
            if not any(path.startswith(prefix.rstrip(b"/") + b"/") for path in listed)
        ),
    )
