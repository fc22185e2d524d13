# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hooks ask: JudgeApt, Announce, Finish; and Check, which asks the same without a hook."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aptguard.guard.absent_archive import answer_for_absent_archive
from aptguard.guard.admission import REFUSED, admit
from aptguard.guard.aftermath import Aftermath
from aptguard.guard.caller import caller_from_request
from aptguard.guard.condition import dpkg_hook_is_wired
from aptguard.guard.dpkg_above import dpkg_above
from aptguard.guard.dpkg_plan import names_to_be_purged, steps_of_dpkg, transaction_from_dpkg
from aptguard.guard.driven_out import may_drive_out
from aptguard.guard.errors import GuardError
from aptguard.guard.examination import examine
from aptguard.guard.front_end_calls import is_of_front_end, with_what_follows
from aptguard.guard.hook_parameters import (
    action_of,
    cwd_of,
    is_this_database,
    is_this_root,
    message_of,
    places_of_dpkg,
    run_of,
    style_of,
    words_of,
    working_directory,
)
from aptguard.guard.peer import Peer
from aptguard.guard.plan import OPERATIONS, capture_plan
from aptguard.guard.putting_back import PuttingBack
from aptguard.guard.run_watch import parent_run
from aptguard.guard.selections import Wish, selections_to_put_back, wishes_of
from aptguard.guard.settling import as_removals, to_be_settled
from aptguard.guard.standing_wishes import why_not_set_aside, with_standing_wishes
from aptguard.guard.state import GuardState
from aptguard.guard.unreadable import admit_unreadable
from aptguard.guard.waiting import Waiting
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import ArchiveError, DpkgDatabaseError
from aptguard.policy.finding import Verdict
from aptguard.policy.model import Policy
from aptguard.rehearsal.rehearse import RehearsalCancelledError
from aptguard.report.model import Report
from aptguard.report.quantity import moment
from aptguard.serialization import to_plain
from aptguard.shown import shown
from aptguard.transaction.apt_protocol import (
    AptInput,
    ProtocolError,
    foreign_root,
    other_database,
    read_apt_input,
    transaction_from_apt,
)
from aptguard.transaction.dpkg_command import CHANGING, DpkgCommandError, read_dpkg_command
from aptguard.transaction.fingerprint import fingerprint, short_id
from aptguard.transaction.model import Action, Caller, Transaction
from aptguard.transaction.other_system import is_another_system, why_partly_another
from aptguard.transaction.package_state import PackageState

_NOT_SEEN = "mount -t proc proc /proc: without it dpkg's command line cannot be seen"
# By DPKG_HOOK_ACTION (dpkg(1)); whether such a call drives another package out, nobody can tell.
_ADDING = CHANGING - {"remove", "purge"}


def judge_apt(
    state: GuardState,
    aftermath: Aftermath,
    putting_back: PuttingBack,
    parameters: Mapping[str, Any],
    peer: Peer,
    waiting: Waiting,
) -> dict[str, Any]:
    """Return the answer to apt's Pre-Install-Pkgs hook."""
    style, run = style_of(parameters), run_of(parameters, peer)
    argv, message = words_of(parameters, "frontend"), message_of(parameters)
    loaded = state.policy()
    settle: list[str] = []

    def approved(report: Report, number: int | None) -> None:
        aftermath.approved(report, number, loaded.policy, run, of_apt=True, settle=settle)

    unreadable = partial(
        admit_unreadable,
        state,
        parameters=parameters,
        peer=peer,
        front_end="libapt",
        argv=argv,
        message=message,
        run=run,
        style=style,
        approved=approved,
    )

    try:
        apt_input = read_apt_input(message)
    except ProtocolError as error:
        return unreadable(f"apt's message to its hook cannot be read: {error}")
    here = {
        "is_this_root": partial(is_this_root, peer=peer, cwd=cwd_of(parameters)),
        "is_this_database": partial(is_this_database, peer=peer, cwd=cwd_of(parameters)),
    }
    if foreign_root(apt_input.configuration, **here) is not None:
        return _not_this_machine()
    elsewhere = other_database(apt_input.configuration, **here)
    if elsewhere is not None:
        return unreadable(elsewhere)
    database = state.database()
    try:
        planned = transaction_from_apt(apt_input, _states(apt_input, database), argv)
        standing = why_not_set_aside(planned, apt_input.configuration, database)
        if standing is not None:
            return unreadable(standing)
        transaction = with_standing_wishes(planned, database)
        removals = as_removals(planned)
        if removals is not None:
            removals = with_standing_wishes(removals, database)
        caller = caller_from_request(parameters, pid=peer.pid, uid=peer.uid)
    except Exception as error:
        return unreadable(f"The transaction cannot be prepared: {error}")

    examined = _examiner(state, caller, loaded.policy, database, peer, waiting)
    try:
        report = examined(transaction)
        if report.verdict is not Verdict.ALLOW and removals is not None and dpkg_hook_is_wired():
            gentler = examined(removals)
            if gentler.verdict is Verdict.ALLOW:
                settle, transaction, report = to_be_settled(planned), removals, gentler
    except RehearsalCancelledError:  # by ^C, which is no leave either
        putting_back.blocked(_wishes(state, planned, database), run)
        raise
    known = _removals_known(report, database)
    reply = admit(state, report, loaded.policy, run=run, style=style, removals_known=known, approved=approved)
    purged = [item.qualified for item in transaction.items if item.action is Action.PURGE]
    wishes = _wishes(state, planned, database) if reply["exit"] == REFUSED else ()
    putting_back.blocked(wishes, run)
    selections = selections_to_put_back(wishes)
    return {**reply, "purge": purged, "settle": settle, "selections": selections}


def judge_dpkg(
    state: GuardState, aftermath: Aftermath, parameters: Mapping[str, Any], peer: Peer, waiting: Waiting
) -> dict[str, Any]:
    """Return the answer to dpkg's own pre-invoke hook, for a call that no approved run of apt covers."""
    style, run = style_of(parameters), run_of(parameters, peer)
    words, action = words_of(parameters, "argv"), action_of(parameters)
    if not _says(words, action):
        run, words = dpkg_above(peer.pid) or (run, words)
    loaded = state.policy()
    database = state.database()
    of_front_end = is_of_front_end(parameters, words)
    purged: tuple[bytes, ...] = ()
    unpack_only = False
    alone: Report | None = None  # of the call without what follows it

    def approved(report: Report, number: int | None) -> None:
        # What a front end removes to purge it is purged by a later call of its own.
        whole = parent_run(run) if purged else run
        aftermath.approved(
            alone or report,
            number,
            loaded.policy,
            whole,
            of_apt=bool(purged),
            unpack_only=unpack_only,
            call_of_dpkg=run,
        )

    unreadable = partial(
        admit_unreadable,
        state,
        parameters=parameters,
        peer=peer,
        front_end="dpkg",
        argv=words,
        run=run,
        style=style,
        after_others=of_front_end,
        approved=approved,
    )
    if not words:  # what dpkg does says dpkg itself
        return unreadable(_NOT_SEEN, takes_away=action not in _ADDING)
    try:
        argv = [os.fsencode(word) for word in words]
        command = read_dpkg_command(argv)
        if not _says(words, action):
            return unreadable(f"Its command line '{' '.join(words)}' is not that of a dpkg --{action}.")
        cwd = working_directory(run, cwd_of(parameters))
        places = places_of_dpkg(command, parameters)
        here = (partial(is_this_root, peer=peer, cwd=cwd), partial(is_this_database, peer=peer, cwd=cwd))
        if not command.changes_packages or is_another_system(places, *here):
            return _not_this_machine()
        elsewhere = why_partly_another(places, *here)
        if elsewhere is not None:
            return unreadable(elsewhere)
        paused = state.pause_in_force() is not None
        refused = answer_for_absent_archive(command, peer, cwd, loaded.policy, style, paused=paused)
        if refused is not None:
            return refused
        caller = caller_from_request(parameters, pid=peer.pid, uid=peer.uid)
        unpack_only = command.action == "unpack"
        text = " ".join(os.fsdecode(word) for word in argv)
        purged = names_to_be_purged(command, database) if of_front_end else ()
        transaction = transaction_from_dpkg(command, database, cwd, text, purged)
    except Exception as error:
        return unreadable(f"The call of dpkg cannot be prepared: {error}")
    examined = _examiner(state, caller, loaded.policy, database, peer, waiting)
    report = alone = examined(transaction, calls=steps_of_dpkg(command, cwd, purged))
    whole_command = with_what_follows(command) if of_front_end else None
    if whole_command is not None and report.verdict is not Verdict.BLOCK:
        # Only harm stops it before it has begun; failures and doubts are judged when it is called.
        followed = examined(transaction, calls=steps_of_dpkg(whole_command, cwd))
        report = followed if followed.verdict is Verdict.BLOCK else report
    return admit(
        state,
        report,
        loaded.policy,
        run=run,
        style=style,
        removals_known=_removals_known(report, database),
        after_others=of_front_end,
        approved=approved,
    )


def announce(state: GuardState, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to DPkg::Pre-Invoke: a line when blocking is paused, else nothing."""
    state.end_what_is_over()
    pause = state.pause_in_force()
    text = ""
    if pause is not None:
        text = f"aptguard: PAUSED until {moment(pause.until)} ({shown(pause.reason)}): nothing is blocked\n"
    return {"exit": 0, "text": style_of(parameters).fit(text)}


def finish(state: GuardState, parameters: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
    """Use up the overrides that were applied in the run which has just ended (DPkg::Post-Invoke)."""
    state.use_up_overrides(run_of(parameters, peer))
    return {"exit": 0, "text": ""}


def check(state: GuardState, parameters: Mapping[str, Any], peer: Peer, waiting: Waiting) -> dict[str, Any]:
    """Rehearse the plan that apt would make; return ``{"report": ...}``, without items for no plan.

    Raises GuardError ``InvalidParameter`` or ``CannotPlan``.
    """
    operation, names = parameters.get("operation"), words_of(parameters, "names")
    if operation not in OPERATIONS:
        raise GuardError("InvalidParameter", f"check takes one of {', '.join(OPERATIONS)}.")
    environment = parameters.get("environment")
    loaded = state.policy()
    plan = capture_plan(operation, names, environment if isinstance(environment, dict) else os.environ)
    if plan is None:
        return {"report": to_plain(_nothing_to_do(_asked(operation, names), parameters, peer, loaded.policy))}
    database = state.database()
    try:
        apt_input = read_apt_input(plan)
        planned = transaction_from_apt(apt_input, _states(apt_input, database))
        planned = with_standing_wishes(planned, database)
        transaction = _asked_as(planned, _asked(operation, names))
        caller = caller_from_request(parameters, pid=peer.pid, uid=peer.uid)
    except (ProtocolError, ValueError) as error:
        raise GuardError("CannotPlan", f"The plan that apt made cannot be read: {error}") from error
    report = _examiner(state, caller, loaded.policy, database, peer, waiting)(transaction)
    state.in_ledger(lambda ledger: ledger.record(report), None)
    return {"report": to_plain(report)}


def examine_for_selftest(state: GuardState, peer: Peer, policy: Policy) -> Callable[[Transaction], Report]:
    """Return a function that examines a transaction as this process's own."""
    surroundings = {"environment": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}}
    caller = caller_from_request(surroundings, pid=peer.pid, uid=peer.uid)
    return lambda transaction: examine(transaction, caller, policy, database=state.database())


def _examiner(
    state: GuardState,
    caller: Caller,
    policy: Policy,
    database: DpkgDatabase,
    peer: Peer,
    waiting: Waiting,
) -> Callable[..., Report]:
    """Return examine() with all that is the same for each transaction of one question."""
    return partial(
        examine,
        caller=caller,
        policy=policy,
        database=database,
        progress=waiting.progress,
        mount_namespace=peer.mount_namespace,
        cancelled=waiting.cancelled,
        record=state.record,
    )


def _not_this_machine() -> dict[str, Any]:
    return {"exit": 0, "text": "", "verdict": "", "outcome": "not this machine", "id": ""}


def _states(apt_input: AptInput, database: DpkgDatabase) -> dict[tuple[str, str], PackageState]:
    return database.states(line.package for line in apt_input.items)


def _asked_as(transaction: Transaction, command_line: str) -> Transaction:
    # That plan is made without other hooks, so debconf's is taken to be where Debian puts it.
    return replace(transaction, frontend="aptguard check", command_line=command_line, preconfigured=True)


def _asked(operation: str, names: Sequence[str]) -> str:
    return " ".join(["apt-get", operation, *names])


def _nothing_to_do(asked: str, parameters: Mapping[str, Any], peer: Peer, policy: Policy) -> Report:
    """Return the report on a plan without packages: nothing was rehearsed, and there is nothing to record."""
    transaction = Transaction("aptguard check", (), asked)
    full = fingerprint(transaction, {})
    return Report(
        id=short_id(full),
        fingerprint=full,
        time=time.time(),
        host=socket.gethostname(),
        verdict=Verdict.ALLOW,
        transaction=transaction,
        user=caller_from_request(parameters, pid=peer.pid, uid=peer.uid).user,
        mode=policy.mode.value,
    )


def _says(words: Sequence[str], action: str) -> bool:
    """Whether a command line can be that of the call of dpkg whose hook was told this ``action``."""
    try:
        said = read_dpkg_command([os.fsencode(word) for word in words]).action
    except (DpkgCommandError, ValueError):
        return False
    return said is not None and (said == action or action not in CHANGING)


def _removals_known(report: Report, database: DpkgDatabase) -> bool:
    """Return whether the report names packages that are taken away, if there are any."""
    if report.verdict is not Verdict.UNKNOWN or report.transaction.takes_away:
        return True
    try:
        return not may_drive_out(report.transaction, database)
    except (ArchiveError, DpkgDatabaseError):
        return False


def _wishes(state: GuardState, transaction: Transaction, database: DpkgDatabase) -> tuple[Wish, ...]:
    try:
        return wishes_of(transaction, database)
    except DpkgDatabaseError as error:
        state.degraded(f"dpkg's selections could not be put back after a block: {error}")
        return ()
