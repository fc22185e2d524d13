# SPDX-License-Identifier: GPL-3.0-or-later
"""The command audit: rehearses the purge of each installed package by itself, several at a time."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from aptguard.cli.output import clear_live_line, live_line, print_json, stdout_style
from aptguard.guard.audit import audit_package, find_candidates
from aptguard.guard.audit_progress import AuditProgress
from aptguard.guard.errors import GuardError
from aptguard.host.dormant import dormant_accounts
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.ledger.store import DIRECTORY
from aptguard.policy.load import load_policy
from aptguard.policy.model import Policy
from aptguard.rehearsal.linux import PR_SET_PDEATHSIG, prctl
from aptguard.report.audit import Audit, audit_as_plain, audit_page, audit_text
from aptguard.report.audited import Audited, Candidate, Outcome
from aptguard.report.quantity import plural
from aptguard.shown import shown

_BAR = 24  # characters


def audit(arguments: argparse.Namespace) -> int:
    """Print the land mines: 0 none, 10 some, 11 when of no package anything is known."""
    if os.geteuid() != 0:
        raise PermissionError("An audit rehearses what root would do: run the command with sudo.")
    start = time.monotonic()
    loaded = load_policy(remember=False)
    candidates = find_candidates(DpkgDatabase(), arguments.packages)
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    show = None if arguments.json else live_line()
    progress = AuditProgress(DIRECTORY, loaded.policy)
    try:
        found = tuple(_audited(candidates.tried, loaded.policy, jobs, progress, show))
        progress.finish()
    finally:
        progress.close()
        clear_live_line()
    whole = Audit(
        host=socket.gethostname(),
        time=time.time(),
        seconds=time.monotonic() - start,
        results=found,
        base=candidates.base,
        dormant=dormant_accounts(loaded.policy),
    )
    if arguments.html:
        _write(arguments.html, audit_page(whole))
    if arguments.json:
        print_json(audit_as_plain(whole))
    else:
        print(audit_text(whole, stdout_style()), end="")
        if arguments.html:
            print(f"The page is {shown(arguments.html)}.")
    if whole.dangers:
        return 10
    return 11 if found and len(whole.of(Outcome.UNKNOWN)) == len(found) else 0


def _audited(
    candidates: Sequence[Candidate],
    policy: Policy,
    jobs: int,
    progress: AuditProgress,
    show: Callable[[str], None] | None,
) -> Iterator[Audited]:
    """Yield the result of each candidate; those that an interrupted audit has brought need no rehearsal."""
    start = time.monotonic()
    kept = [progress.results[one] for one in candidates if one in progress.results]
    yield from kept
    left = [one for one in candidates if one not in progress.results]
    if kept:
        print(
            f"aptguard: going on after {plural(len(kept), 'package')} of an audit that was interrupted.",
            file=sys.stderr,
        )
    if progress.problem:
        print(
            f"aptguard: an interruption will lose what was found so far: {progress.problem}.", file=sys.stderr
        )
    # Forked before there is any thread; a worker has nothing open but what its rehearsal needs.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_the_audit)
    try:
        futures = [pool.submit(audit_package, candidate, policy) for candidate in left]
        for done, future in enumerate(as_completed(futures), 1):
            result = future.result()
            progress.keep(result)
            if show is not None:
                show(_bar(done, len(left), time.monotonic() - start, result.candidate.package))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_audit() -> None:
    """Have this worker killed when the audit is, however that ends (prctl(2), PR_SET_PDEATHSIG)."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _bar(done: int, of: int, seconds: float, package: str) -> str:
    filled = "#" * (_BAR * done // of)
    left = seconds / done * (of - done)
    return f"[{filled.ljust(_BAR, '.')}] {done}/{of}, {left:.0f} s left, {shown(package)}"


def _write(path: str, page: str) -> None:
    """Write the page; it names files that only root may list, so only root may read it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise GuardError(
            "InvalidParameter", f"The page could not be written to {shown(path)}: {error.strerror}."
        ) from error
