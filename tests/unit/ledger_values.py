# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that the ledger's tests share."""

from __future__ import annotations

from aptguard.ledger.override import Grantor, findings_digest
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Finding, Severity, Verdict
from aptguard.report.model import ChangedPath, Report
from aptguard.transaction.model import Action, Item, Transaction

GRANTOR = Grantor(uid=0, login_uid=1000, sudo_user="alice", tty="/dev/pts/0")
NOW = 1_700_000_000.0


def finding(path: bytes = b"/srv/data", **other) -> Finding:
    values = {"rule": "unowned", "severity": Severity.BLOCK, "reason": "Not owned.", "change": "deleted"}
    return Finding(**{**values, "path": path, "package": "toy", "script": "postrm purge", **other})


def report(
    identifier: str = "7F3K-92QX",
    *,
    fingerprint: str = "aa" * 32,
    time: float = NOW,
    verdict: Verdict = Verdict.BLOCK,
    package: str = "toy",
    path: bytes = b"/srv/data",
    changed: int = 0,
    user: str = "alice (sudo)",
) -> Report:
    return Report(
        id=identifier,
        fingerprint=fingerprint,
        time=time,
        host="host",
        verdict=verdict,
        transaction=Transaction("apt-get", (Item(package, "amd64", Action.PURGE, "1.0"),)),
        user=user,
        findings=(finding(path),),
        changed_paths=tuple(
            ChangedPath(b"/srv/%064x" % (index * 0x9E3779B97F4A7C15 % (1 << 256)), ("deleted",), "unowned", 1)
            for index in range(changed)
        ),
    )


def grant(ledger: Ledger, of: Report | None = None, *, now: float = NOW, seconds: float = 900.0):
    of = of or report()
    return ledger.grant_override(
        of,
        findings_digest=findings_digest(of.findings),
        granted_at=now,
        expires_at=now + seconds,
        reason="It is obsolete.",
        grantor=GRANTOR,
    )
