# SPDX-License-Identifier: GPL-3.0-or-later
"""Builders of change sets and facts for the tests of the judge."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import cache

from aptguard.changes.model import Cause, Change, FileType, Kind, Node
from aptguard.policy.facts import Account, Accounts, Facts, Group, PackageFacts
from aptguard.policy.finding import Judgement
from aptguard.policy.judge import judge
from aptguard.policy.load import PolicyPaths, load_policy
from aptguard.policy.model import Policy
from aptguard.rehearsal.model import RehearsalResult, StepResult
from aptguard.transaction.model import Action, Item, Transaction

TODAY = date(2027, 1, 15)
SHIPPED = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    "src/aptguard/policy/shipped",
)
DONE = (StepResult((b"/usr/bin/dpkg", b"--purge", b"toy"), 0, 0.1),)


@cache
def default_policy() -> Policy:
    """The rules that aptguard ships."""
    with tempfile.TemporaryDirectory() as directory:
        paths = PolicyPaths(SHIPPED, *(os.path.join(directory, name) for name in ("a.toml", "a.d", "last")))
        loaded = load_policy(paths)
    assert not loaded.problems
    return loaded.policy


def file(size: int = 100, *, mtime_ns: int = 10**18, mode: int = 0o644, uid: int = 0, links: int = 1) -> Node:
    return Node(FileType.REGULAR, mode, uid, 0, size, mtime_ns, links=links)


def directory(mode: int = 0o755, uid: int = 0) -> Node:
    return Node(FileType.DIRECTORY, mode, uid, 0, 4096, 10**18)


def link(target: bytes) -> Node:
    return Node(FileType.SYMLINK, 0o777, 0, 0, len(target), 10**18, target=target)


def gone(
    path: str, before: Node | None = None, *, by: str | None = "toy", script: str = "postrm purge"
) -> Change:
    cause = None if by is None else Cause(by, script)
    return Change(os.fsencode(path), frozenset({Kind.DELETED}), before or file(), None, cause)


def made(
    path: str, after: Node | None = None, *, by: str = "toy", renamed_from: bytes | None = None
) -> Change:
    return Change(
        os.fsencode(path),
        frozenset({Kind.CREATED}),
        None,
        after or file(),
        Cause(by, "postinst configure"),
        renamed_from,
    )


def altered(path: str, *kinds: Kind, before: Node | None = None, by: str = "toy") -> Change:
    node = before or file()
    return Change(os.fsencode(path), frozenset(kinds), node, node, Cause(by, "postinst configure"))


def transaction(*actions: tuple[str, Action], architecture: str = "amd64") -> Transaction:
    return Transaction(
        "apt-get", tuple(Item(name, architecture, action, "1", "2") for name, action in actions)
    )


PURGE = transaction(("toy", Action.PURGE))
REMOVE = transaction(("toy", Action.REMOVE))
UPGRADE = transaction(("toy", Action.UPGRADE))
INSTALL = transaction(("toy", Action.INSTALL))


def facts(
    *,
    owners: dict[str, str] | None = None,
    mine: Iterable[str] = (),
    after: Iterable[str] = (),
    conffiles: Iterable[str] = (),
    directories: Iterable[str] = (),
    **more: object,
) -> Facts:
    """``owners``: path to packages divided by spaces; ``mine`` and ``after``: what toy lists."""
    base = Facts(
        owners={
            **{os.fsencode(path): ("toy",) for path in mine},
            **{os.fsencode(path): tuple(names.split()) for path, names in (owners or {}).items()},
        },
        listed_before=frozenset(map(os.fsencode, mine)),
        listed_after=frozenset(map(os.fsencode, after)),
        conffiles=frozenset(map(os.fsencode, conffiles)),
        directories=frozenset(map(os.fsencode, directories)),
        packages={"toy": PackageFacts("toy", "amd64", "installed", "1", source="toy")},
    )
    return replace(base, **more)  # type: ignore[arg-type]


def result(*changes: Change, **more: object) -> RehearsalResult:
    base = RehearsalResult(steps=DONE, changes=changes, complete=True)
    return replace(base, **more)  # type: ignore[arg-type]


def judged(
    plan: Transaction,
    changes: Iterable[Change],
    known: Facts | None = None,
    policy: Policy | None = None,
    **more: object,
) -> Judgement:
    return judge(plan, result(*changes, **more), known or facts(), policy or default_policy(), TODAY)


def rules(judgement: Judgement) -> set[str]:
    return {finding.rule for finding in judgement.findings}


def account(name: str, uid: int, home: str, gid: int | None = None) -> Account:
    return Account(name, uid, uid if gid is None else gid, os.fsencode(home), b"/usr/sbin/nologin")


def accounts(*entries: Account, groups: Iterable[tuple[str, int, str]] = ()) -> Accounts:
    return Accounts(entries, tuple(Group(name, gid, frozenset(who.split())) for name, gid, who in groups))
