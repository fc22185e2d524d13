# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that writes a ledger without end and tells each answer, and what the ledger must still know then.

Run as a program (``answers.py DIRECTORY SEED``) it prints a line for each operation that the ledger has
confirmed. ``lost`` compares what was printed, which lies outside, with the ledger after a cut.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if __name__ == "__main__":
    sys.path[:0] = [_TESTS, os.path.join(os.path.dirname(_TESTS), "src")]

from aptguard.ledger.override import Grantor, findings_digest  # noqa: E402
from aptguard.ledger.store import Ledger  # noqa: E402
from aptguard.policy.finding import Finding, Severity, Verdict  # noqa: E402
from aptguard.report.model import ChangedPath, Report  # noqa: E402
from aptguard.transaction.fingerprint import short_id  # noqa: E402
from aptguard.transaction.model import Action, Item, Transaction  # noqa: E402

_NOW = 1_700_000_000.0
# By the last answer: what the override may be, for the operations on one ID have an order.
_MAY_BE = {
    "recorded": {"none", "granted", "revoked", "used"},
    "granted": {"granted", "revoked", "used"},
    "revoked": {"revoked"},
    "used": {"used"},
}
_GRANTOR = Grantor(uid=0, login_uid=1000, sudo_user="alice", tty="/dev/pts/0")


def report(name: str, paths: int = 0) -> Report:
    """Return a report whose ID depends on ``name`` only; ``paths`` makes it larger."""
    fingerprint = hashlib.sha256(name.encode()).hexdigest()
    finding = Finding("unowned", Severity.BLOCK, "Not owned.", "deleted", b"/srv/data", "toy", "postrm purge")
    digests = (hashlib.sha256(f"{name} {number}".encode()).hexdigest() for number in range(paths))
    return Report(
        id=short_id(fingerprint),
        fingerprint=fingerprint,
        time=_NOW,
        host="host",
        verdict=Verdict.BLOCK,
        transaction=Transaction("apt-get", (Item("toy", "amd64", Action.PURGE, "1.0"),)),
        user="alice (sudo)",
        findings=(finding,),
        changed_paths=tuple(
            ChangedPath(b"/srv/" + digest.encode(), ("deleted",), "unowned", 1) for digest in digests
        ),
    )


def operations(directory: str, seed: str) -> Iterator[str]:
    """Do one thing after the other to the ledger; yield ``WHAT ID`` when it has been answered."""
    chance = random.Random(seed)
    ledger = Ledger(directory)
    number = 0
    while True:
        number += 1
        what = report(f"{seed} {number}", chance.choice((0, 0, 5, 300)))
        ledger.record(what)
        yield f"recorded {what.id}"
        if chance.random() < 0.6:
            digest = findings_digest(what.findings)
            granted = ledger.grant_override(
                what,
                findings_digest=digest,
                granted_at=_NOW,
                expires_at=_NOW + 900,
                reason="It is obsolete.",
                grantor=_GRANTOR,
            )
            yield f"granted {what.id}"
            match chance.choice(("leave", "revoke", "use")):
                case "revoke":
                    ledger.revoke(what.id, _NOW + 1)
                    yield f"revoked {what.id}"
                case "use":
                    run = f"{seed} {number}"
                    ledger.apply_override(granted.number, run=run, now=_NOW + 1)
                    ledger.mark_overrides_used(run=run, now=_NOW + 2)
                    yield f"used {what.id}"
        if chance.random() < 0.05:
            ledger.close()  # the last one to close it takes the write-ahead log away
        if chance.random() < 0.03:
            ledger.prune(keep_days=90, max_bytes=1 << 30, now=_NOW)
            ledger.record(replace(what, time=_NOW - 365 * 86400))  # one for the next to prune


def lost(directory: str, answered: Iterable[str]) -> list[str]:
    """Return as sentences what was answered and is not so in the ledger, and why it did not open cleanly.

    For each ID the last answer counts; what was under way after it may have happened too.
    """
    found = []
    aside = [name for name in os.listdir(directory) if "corrupt" in name]
    if aside:
        found.append(f"a ledger was taken for corrupt: {aside}")
    ledger = Ledger(directory)
    last = {identifier: what for what, identifier in (line.split() for line in answered)}
    states = {override.id: override.state.value for override in ledger.overrides(limit=1_000_000)}
    for identifier, what in last.items():
        if ledger.report(identifier) is None:
            found.append(f"the verdict {identifier} is lost")
        state = states.get(identifier, "none")
        if state not in _MAY_BE[what]:
            found.append(f"the override {identifier} was {what} and is now {state}")
    found += ledger.problems
    ledger.close()
    with sqlite3.connect(os.path.join(directory, "ledger.db")) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            found.append(f"the file is damaged: {said}")
    connection.close()
    return found


def main() -> int:
    for line in operations(sys.argv[1], sys.argv[2]):
        os.write(1, line.encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
