# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that go all the way to the answer of a hook: garbage must never be allowed.

Everything is the product's own, but the rehearsal: that finds nothing wrong with anything, so that whatever
gets as far as a rehearsal is allowed where it can be. What counts as garbage is said here a second time, in
another way than the product's.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

from aptguard.guard import judging, service
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import own_process
from aptguard.guard.service import Guard
from aptguard.guard.state import GuardState
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.policy.facts import Facts
from aptguard.policy.judge import judge
from aptguard.policy.load import PolicyPaths
from aptguard.rehearsal.model import RehearsalResult
from aptguard.report.build import build_report
from aptguard.report.model import Report
from aptguard.transaction.dpkg_command import DpkgCommandError, read_dpkg_command
from aptguard.transaction.fingerprint import fingerprint
from aptguard.transaction.model import Caller, Transaction
from fuzz.target import Target, demand, demand_printable, demand_sentence
from unit.change_sets import DONE, SHIPPED, TODAY
from unit.dpkg_roots import Root

CAPTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "protocol")
NOTHING = RehearsalResult(steps=DONE, changes=(), complete=True)


class FuzzState(GuardState):
    """A guard's state without a ledger and without anybody to be told."""

    def send(self, event: object, report: object = None) -> None:
        """Tell nobody."""

    def in_ledger(self, work: object, otherwise: Any) -> Any:
        """Do as where the ledger cannot be used: no override, no pause."""
        return otherwise

    def in_ledger_or_refuse(self, work: object) -> Any:
        """Refuse as where the ledger cannot be used."""
        raise GuardError("LedgerUnavailable", "There is no ledger.")


class FuzzGuard(Guard):
    """The guard, with a state of the target's own."""

    def __init__(self, state: GuardState) -> None:
        self._state = state
        self._aftermath, self._putting_back = mock.Mock(), mock.Mock()  # there is no run to be followed


class DecidingTarget(Target):
    """The guard's own way from a hook's question to its answer; ``examined`` is what would be rehearsed."""

    def __init__(self) -> None:
        super().__init__()
        root = Root(os.path.join(self.directory, "root"))
        root.package("toy", [b"/usr", b"/usr/share/toy"])
        root.package("rest", [b"/etc"], status="deinstall ok config-files")
        root.package("both", [b"/usr/lib/both"], same=True)
        self.examined: list[Transaction] = []
        paths = PolicyPaths(
            SHIPPED, *(os.path.join(self.directory, name) for name in ("a.toml", "a.d", "last"))
        )
        self.state = FuzzState(self.directory, paths)
        self.guard = FuzzGuard(self.state)
        self._loaded = self.state.policy()
        database = DpkgDatabase(root.path)
        self._patches = [
            mock.patch.object(judging, "examine", self._examine),
            mock.patch.object(self.state, "database", lambda: database, create=True),
            mock.patch.object(judging, "dpkg_hook_is_wired", lambda: True),
            mock.patch.object(service, "expect_rehearsal", lambda: None),
            mock.patch.object(self.state, "policy", lambda: self._loaded),
        ]
        for patch in self._patches:
            patch.start()

    def close(self) -> None:
        """Put the product back."""
        for patch in self._patches:
            patch.stop()
        super().close()

    def _examine(self, transaction: Transaction, caller: Caller, policy: Any, **_: object) -> Report:
        self.examined.append(transaction)
        judgement = judge(transaction, NOTHING, Facts(), policy, TODAY)
        digests = {item.archive: "unread" for item in transaction.items if item.archive is not None}
        return build_report(
            transaction,
            caller,
            NOTHING,
            Facts(),
            judgement,
            fingerprint=fingerprint(transaction, digests),
            time=time.time(),
            host="here",
            mode="enforce",
            timing={},
        )

    def answered(self, method: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """Return the hook's answer, None when it was refused with a sentence."""
        self.examined.clear()
        try:
            reply = self.guard.dispatch(method, parameters, peer=own_process())
        except GuardError as error:
            demand_sentence(error)
            return None
        demand_printable(reply["text"])
        demand(reply["exit"] in (0, 10), f"the hook would end with {reply['exit']}")
        return reply


class AptTarget(DecidingTarget):
    """apt's message to its hook."""

    name = "apt_protocol"
    share = 150
    tokens = (
        b"VERSION 3\n",
        b"VERSION 2\n",
        b"\n\n",
        b"toy 1 amd64 none > - - none **REMOVE**\n",
        b"toy - - none < 2 amd64 same /a%20b.deb\n",
        b"toy - - none < 2 amd64 same **CONFIGURE**\n",
        b"**ERROR**",
        b"RootDir=/x\n",
        b"DPkg::Chroot-Directory=/x\n",
        b"DPkg::Options::=--root=/x\n",
        b"DPkg::Options::=--instdir=%00\n",
        b"Dir=/\nDir::State=var/lib/apt/\nDir::State::status=/var/lib/dpkg/status\n",
        b"APT::Get::Purge=1\n",
        b"CommandLine::AsString=apt-get%20purge%20toy\n",
        b"%0a",
    )

    def seeds(self) -> Iterable[bytes]:
        for name in sorted(os.listdir(CAPTURES)):
            if name.endswith((".v1", ".v2", ".v3")):
                with open(os.path.join(CAPTURES, name), "rb") as file:
                    head, blank, plan = file.read().partition(b"\n\n")
                # What apt says of itself is 30 KiB and mostly the same; a fuzzer learns nothing from it.
                settings = [
                    line
                    for line in head.split(b"\n")
                    if line[:4].lower() in (b"vers", b"dpkg", b"comm", b"dir=")
                ]
                yield b"\n".join(settings[:30]) + blank + plan[:800].rpartition(b"\n")[0] + b"\n"
        status = b"Dir=/\nDir::State::status=/var/lib/dpkg/status\n"
        yield b"VERSION 3\n" + status + b"\ntoy 1 amd64 none > - - none **REMOVE**\n"
        yield b"VERSION 3\nRootDir=/target\n\ntoy 1 amd64 none > - - none **REMOVE**\n"

    def attempt(self, data: bytes) -> None:
        parameters = {
            "input": base64.b64encode(data).decode("ascii"),
            "frontend": ["apt-get", "remove", "toy"],
        }
        reply = self.answered("JudgeApt", parameters)
        if reply is None or reply["exit"] != 0:
            return
        plan = read_plainly(data)
        demand(plan is not None, "what is no plan of apt's was allowed")
        assert plan is not None
        if reply["outcome"] == "not this machine":
            demand(plan.names_a_root, "a plan for this machine was taken for another's")
            return
        demand(bool(self.examined), "a plan was allowed and never examined")
        items = self.examined[-1].items
        demand(len(items) == len(plan.lines), f"of {len(plan.lines)} lines {len(items)} were examined")
        for line, item in zip(plan.lines, items, strict=True):
            name, what = line[0].decode(), line[8]
            demand(item.package == name, f"{name} was examined as {item.package}")
            demand(item.action.takes_away == (what == b"**REMOVE**"), f"{what!r} of {name} was {item.action}")
            if what.startswith(b"/"):
                demand(item.archive == what, f"the archive {what!r} was examined as {item.archive!r}")


class PlainPlan:
    """A message of apt's, taken apart by splitting alone."""

    def __init__(self, head: list[bytes], lines: list[list[bytes]]) -> None:
        self.head = head
        self.lines = lines

    @property
    def names_a_root(self) -> bool:
        """Whether a setting could mean another root than this machine's."""
        return any(
            setting.startswith((b"rootdir=", b"dpkg::chroot-directory=", b"dpkg::options::"))
            for setting in map(bytes.lower, self.head)
        )


def read_plainly(data: bytes) -> PlainPlan | None:
    """Return what ``data`` says if it is a message in protocol 3 to its end, else None."""
    head, blank, plan = data.partition(b"\n\n")
    first, *settings = head.split(b"\n")
    lines = [line.split(b" ", 8) for line in plan.split(b"\n")]
    whole = bool(blank) and first == b"VERSION 3" and lines.pop() == [b""]
    if not whole or not all(b"=" in setting for setting in settings):
        return None
    for line in lines:
        if (
            len(line) != 9
            or not all(line[:8])
            or not (line[8][:1] == b"/" or line[8] in (b"**REMOVE**", b"**CONFIGURE**"))
        ):
            return None
    return PlainPlan(settings, lines)


class DpkgTarget(DecidingTarget):
    """dpkg's arguments, each ended by a byte 0 as in /proc/PID/cmdline."""

    name = "dpkg_arguments"
    share = 50
    tokens = (
        b"--purge\0toy\0",
        b"-r\0",
        b"-P\0",
        b"--pending\0",
        b"-a\0",
        b"--root=/x\0",
        b"--instdir\0/\0",
        b"--admindir=/x\0",
        b"--no-act\0",
        b"--force-depends\0",
        b"--refuse-downgrade\0",
        b"--configure\0",
        b"--triggers-only\0",
        b"-D77\0",
        b"--\0",
        b"--status-fd\0",
        b"-",
        b"both:amd64\0",
    )

    def seeds(self) -> Iterable[bytes]:
        return (
            b"--force-depends\0--purge\0--\0toy\0both:amd64\0",
            b"-Pa\0",
            b"--status-fd\x0042\0--no-triggers\0--remove\0toy:amd64\0",
            b"--root=/target\0-r\0toy\0",
            b"-aGE\0--configure\0",
            b"--instdir\0/target\0--purge\0toy\0",
            b"--simulate\0--purge\0toy\0",
        )

    def attempt(self, data: bytes) -> None:
        words = [b"dpkg", *data.split(b"\0")[:-1]]
        try:
            command = read_dpkg_command(words)
        except DpkgCommandError as error:
            demand_sentence(error)
            reply = self._judged(words)
            demand(reply is None or reply["exit"] == 10, "a call that dpkg would refuse was allowed")
            return
        if command.archives:  # would have dpkg-deb started for each of them
            return
        reply = self._judged(words)
        if reply is None or reply["exit"] != 0:
            return
        if reply["outcome"] == "not this machine":
            harmless = not command.changes_packages
            demand(
                harmless or any(b"root" in word or b"instdir" in word for word in words),
                "taken for another's",
            )
            if harmless and command.action in ("remove", "purge"):
                demand(any(_says_no_act(word) for word in words), "a removal was taken for a simulation")
            return
        demand(len(self.examined) == 1, "a call of dpkg was allowed and never examined")
        named = {(word.partition(b":")[0]).decode("utf-8", "surrogateescape") for word in command.names}
        known = named & {"toy", "rest", "both"}
        examined = {item.package for item in self.examined[0].items}
        demand(command.pending or examined <= known, f"{examined - known} was examined, and not named")

    def _judged(self, words: list[bytes]) -> dict[str, Any] | None:
        return self.answered("JudgeDpkg", {"argv": [os.fsdecode(word) for word in words], "run": "none"})


def _says_no_act(word: bytes) -> bool:
    return word in (b"--no-act", b"--simulate", b"--dry-run")


def targets() -> Iterator[type[Target]]:
    """Yield the targets of this module."""
    yield AptTarget
    yield DpkgTarget
