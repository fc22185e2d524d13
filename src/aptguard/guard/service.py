# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard as one object: each method of the interface io.github.aptguard, by name.

The daemon, the hook's fallback and the commands call the same object, so that they cannot differ.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from aptguard import __version__
from aptguard.guard import judging, records
from aptguard.guard.aftermath import Aftermath
from aptguard.guard.condition import State, look_at_machine, overall
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import Peer
from aptguard.guard.putting_back import PuttingBack
from aptguard.guard.selftest import run_selftest
from aptguard.guard.state import GuardState
from aptguard.guard.waiting import Waiting
from aptguard.ledger.store import DIRECTORY
from aptguard.policy.layers import PolicyPaths
from aptguard.rehearsal.rehearse import expect_rehearsal
from aptguard.report.machine import finding_as_plain, summary_as_plain
from aptguard.serialization import to_plain

_REHEARSING = frozenset({"JudgeApt", "JudgeDpkg", "Check", "Selftest"})


class Guard:
    """Receives, rehearses, judges, records, alerts, answers."""

    def __init__(self, *, state_directory: str = DIRECTORY, policy_paths: PolicyPaths | None = None) -> None:
        self._state = GuardState(state_directory, policy_paths)
        self._aftermath = Aftermath(self._state)
        self._putting_back = PuttingBack(self._state)

    @property
    def following(self) -> int:
        """How many runs are being followed."""
        return self._aftermath.watch.following + self._putting_back.watch.following

    @property
    def waiting(self) -> bool:
        """Whether there are runs for follow_runs()."""
        return bool(self._aftermath.watch.waiting or self._putting_back.watch.waiting)

    def stay(self) -> None:
        """Follow runs in threads of this process, which stays; those of a former one as well."""
        self._aftermath.watch.threaded = self._putting_back.watch.threaded = True
        self.look_back()

    def look_back(self, *, follow: bool = True) -> None:
        """See what has become of runs whose follower is gone, or follow them: before the next is judged."""
        self._aftermath.adopt(follow=follow)
        if follow:
            self._putting_back.adopt()

    def follow_runs(self) -> None:
        """Follow the runs to their end in this process, which is a child of the one that judged."""
        self._state.reopen_ledger()
        approved, blocked = self._aftermath.watch, self._putting_back.watch
        threads = [
            *(threading.Thread(target=approved.follow_to_the_end, args=(one,)) for one in approved.waiting),
            *(threading.Thread(target=blocked.follow_to_the_end, args=(one,)) for one in blocked.waiting),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def dispatch(
        self,
        method: str,
        parameters: Mapping[str, Any],
        *,
        peer: Peer,
        progress: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Return the reply to ``method``; ``progress`` is called with what is being tried.

        Raises GuardError with a name and a sentence when it refuses.
        """
        if method in _REHEARSING:
            expect_rehearsal()
        waiting = Waiting(progress, cancelled.is_set if cancelled is not None else None)
        match method:
            case "JudgeApt":
                return judging.judge_apt(
                    self._state, self._aftermath, self._putting_back, parameters, peer, waiting
                )
            case "JudgeDpkg":
                return judging.judge_dpkg(self._state, self._aftermath, parameters, peer, waiting)
            case "Announce":
                return judging.announce(self._state, parameters)
            case "Finish":
                return judging.finish(self._state, parameters, peer)
            case "Check":
                return judging.check(self._state, parameters, peer, waiting)
            case "Status":
                return self.status(seen=_is_seen(parameters, peer))
            case "Selftest":
                return self.selftest(peer)
            case "Log":
                reply = records.log(self._state, parameters)
                if _is_seen(parameters, peer):
                    self._state.outlets.looked()
                return reply
            case "Show":
                reply = records.show(self._state, parameters)
                if _is_seen(parameters, peer):
                    self._state.outlets.looked(reply["report"]["id"])
                return reply
            case "GrantOverride":
                return records.grant_override(self._state, parameters, peer)
            case "ListOverrides":
                return records.list_overrides(self._state)
            case "RevokeOverride":
                return records.revoke_override(self._state, parameters)
            case "Pause":
                return records.pause(self._state, parameters, peer)
            case "Resume":
                return records.resume(self._state, peer)
            case _:
                raise GuardError("InvalidParameter", f"The guard has no method {method}.")

    def status(self, *, seen: bool = False) -> dict[str, Any]:
        """Return how the guard stands: checks, dormant dangers, last verdicts, pause.

        ``seen``: the administrator looks at it, so no login has to say any more what is degraded.
        """
        self._state.end_what_is_over()
        loaded = self._state.policy()
        reports = self._state.in_ledger(lambda ledger: ledger.reports(limit=5), ())
        pause = self._state.pause_in_force()
        self._state.in_ledger(lambda ledger: ledger.probe(), None)
        checks = look_at_machine(loaded, ledger_problem=self._state.ledger_problem)
        state = overall(checks)
        dormant = self._state.tell_dangers(loaded.policy)
        if seen:
            self._state.outlets.recovered()
        return {
            "version": __version__,
            "state": "live" if state is State.OK else state.value,
            "mode": loaded.policy.mode.value,
            "checks": to_plain(checks),
            "dormant": [finding_as_plain(danger) for danger in dormant],
            "verdicts": [summary_as_plain(report) for report in reports],
            "pause": to_plain(pause),
        }

    def selftest(self, peer: Peer) -> dict[str, Any]:
        """Rehearse a booby-trapped package; return whether it passed, the steps and the report."""
        examine = judging.examine_for_selftest(self._state, peer, self._state.policy().policy)
        result = run_selftest(self._state.state_directory, examine)
        return {"passed": result.passed, "steps": to_plain(result.steps), "report": to_plain(result.report)}


def _is_seen(parameters: Mapping[str, Any], peer: Peer) -> bool:
    """Whether what is asked for is shown to the administrator (not to a program that only looks it up)."""
    return parameters.get("seen") is True and peer.uid == 0
