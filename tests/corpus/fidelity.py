# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rehearsal said would change against what the real run then changed, path by path."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from aptguard.changes.model import Change
from aptguard.guard.recording import Recording, read_recording
from aptguard.shown import shown
from corpus.witness import Entry, Listing
from corpus.witness import happened as differences

_MOST_KEPT = 400  # disagreements that are kept by name, of one run


class Rule(NamedTuple):
    """Paths that are not compared, or whose disagreement has a known cause, with the reason."""

    name: str
    patterns: tuple[str, ...]
    reason: str


# Neither side counts these: they are not done by dpkg's calls, which are what is rehearsed.
NOT_COMPARED = (
    Rule(
        "apt",
        (
            "/var/lib/apt",
            "/var/lib/apt/*",
            "/var/cache/apt",
            "/var/cache/apt/*",
            "/var/log/apt",
            "/var/log/apt/*",
        ),
        "apt writes its own marks, caches and logs before and after the calls of dpkg",
    ),
    Rule(
        "guard",
        ("/var/lib/aptguard", "/var/lib/aptguard/*"),
        "the guard records its judgement between the two looks",
    ),
    Rule("journal", ("/var/log/journal", "/var/log/journal/*"), "the running machine's journal"),
    Rule("timers", ("/var/lib/systemd/timers/*", "/var/lib/systemd/random-seed"), "stamps of PID 1"),
    Rule(
        "memory",
        (
            "/run",
            "/run/*",
            "/tmp",
            "/tmp/*",
            "/dev",
            "/dev/*",
            "/var/tmp/systemd-private-*",
            "/proc/*",
            "/sys/*",
        ),
        "file systems in memory and private directories that services bring up and take down as they start"
        " and stop; the rehearsal records that a service would stop, it stops none",
    ),
)

# These count as disagreements; the rule says what the cause is. A pattern is ``WHAT PATH``.
CAUSES = (
    Rule(
        "the guard itself",
        ("* /var/lib/prometheus/node-exporter/aptguard.prom",),
        "the guard writes its own figures for Prometheus after each judgement",
    ),
    Rule(
        "a socket of another service",
        ("deleted /var/lib/haproxy", "deleted /var/lib/haproxy/dev", "deleted /var/lib/haproxy/dev/log"),
        "rsyslog takes its socket away as it stops, and only then can haproxy's postrm take the empty"
        " directories away; a rehearsal stops no service, so the socket stays",
    ),
    Rule(
        "a trigger",
        (
            "* /var/cache/man/*",
            "* /usr/share/glib-2.0/schemas/gschemas.compiled",
            "* /usr/lib/*/gio/modules/giomodule.cache",
            "* /usr/share/info/dir*",
            "changed /etc/ld.so.cache",
            "changed /var/cache/ldconfig/aux-cache",
        ),
        "not rehearsed: those of man-db, libglib2.0-0 and install-info by the policy, which knows them,"
        " and until commit 77025e9 all",
    ),
    Rule(
        "another hook of apt",
        ("* /etc/.git/*", "changed /etc/.etckeeper"),
        "etckeeper commits what has changed after each run of apt; it is no part of dpkg's run",
    ),
    Rule(
        "a log of a running service",
        ("created /var/log/*", "changed /var/log/*"),
        "a service writes to its log, at the latest as it stops",
    ),
    Rule(
        "a file of a running service",
        (
            "changed /var/cache/bind/managed-keys.bind*",
            "created /etc/cups/subscriptions.conf",
            "deleted /var/lib/syslog-ng",
            "deleted /var/lib/syslog-ng/syslog-ng.pid",
            "changed /var/lib/dovecot/instances",
            "changed /var/lib/influxdb/*",
            "changed /var/lib/mysql/*",
            "deleted /var/lib/mysql/ddl_recovery.log",
            "deleted /var/lib/mysql/ibtmp1",
            "changed /var/lib/postgresql/*",
            "deleted /var/lib/clamav",
            "deleted /var/lib/clamav/tmp.*",
        ),
        "the service writes it, or takes it away, as it stops or in the seconds between the two looks",
    ),
)


@dataclass
class Fidelity:
    """The comparison of one run. Each list of disagreements holds ``what path`` lines, shown.

    ``missed`` happened though nobody had said so; ``invented`` was said and did not happen. What the entry is
    afterwards (type, mode, owner, group, size) is compared too where both agree that there is a change:
    ``differs``. ``touched``: entries of which nothing but a time is different.
    """

    deletions: int = 0  # that happened
    changes: int = 0  # that happened, deletions among them
    agreed_deletions: int = 0
    agreed: int = 0
    said_deletions: int = 0
    said: int = 0
    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    touched: int = 0
    not_compared: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def rule_of(path: str, rules: Iterable[Rule]) -> Rule | None:
    """Return the first rule that speaks for the path."""
    return next(
        (rule for rule in rules if any(fnmatch.fnmatchcase(path, one) for one in rule.patterns)), None
    )


def cause_of(line: str) -> Rule | None:
    """Return the rule that knows the cause of a disagreement, which is ``WHAT(parts) PATH (more)``."""
    return rule_of(f"{line.split(' ', maxsplit=1)[0].split('(', maxsplit=1)[0]} {path_of(line)}", CAUSES)


def path_of(line: str) -> str:
    """Return the path that a disagreement is about."""
    return line.split(" ", 1)[1].split(" (", maxsplit=1)[0]


def recordings_in(directory: str) -> dict[str, int]:
    """Return when each recording was written, by its path; one of the same transaction is written over."""
    paths = (os.path.join(directory, name) for name in os.listdir(directory))
    return {path: os.stat(path).st_mtime_ns for path in paths}


def recording_since(directory: str, known: dict[str, int]) -> Recording | None:
    """Return the latest recording of a run of apt that was written after ``known`` was listed."""
    there = recordings_in(directory)
    new = [path for path, time in there.items() if known.get(path) != time]
    for path in sorted(new, key=there.__getitem__, reverse=True):
        recording = read_recording(path)
        if recording.transaction.frontend != "aptguard check":
            return recording
    return None


def compare(recording: Recording | None, before: Listing, after: Listing) -> Fidelity:
    """Return how the rehearsal of one run and the run agree, which lies between two looks at the machine."""
    if recording is None:
        return Fidelity(problem="the run was not rehearsed")
    result = recording.result
    happened = differences(before, after)
    found = Fidelity(touched=len(happened.touched))
    if not result.complete:
        found.problem = "the rehearsal ended early"
    elif failed := [step for step in result.steps if step.status != 0]:
        found.problem = (
            f"the rehearsal failed: {shown(b' '.join(failed[0].argv))[:200]} ended with {failed[0].status}"
        )
    left_out: dict[str, int] = {}
    said = {change.path: change for change in result.changes}
    real = {
        **dict.fromkeys(happened.deleted, ("deleted", "")),
        **dict.fromkeys(happened.created, ("created", "")),
        **{path: ("changed", ",".join(parts)) for path, parts in happened.changed.items()},
    }
    for path in sorted(said.keys() | real.keys()):
        name = os.fsdecode(path)
        here, there = _word(said.get(path)), real.get(path, ("", ""))[0]
        if (rule := rule_of(name, NOT_COMPARED)) is not None:
            if here != there:
                left_out[rule.name] = left_out.get(rule.name, 0) + 1
            continue
        if here == "deleted" and path not in before and path not in after:
            # A service made it after the first look, and it is gone as was said.
            left_out["between"] = left_out.get("between", 0) + 1
            continue
        found.said += bool(here)
        found.said_deletions += here == "deleted"
        found.changes += bool(there)
        found.deletions += there == "deleted"
        if here == there:
            found.agreed += 1
            found.agreed_deletions += here == "deleted"
            if (different := _differs(said[path], after.get(path))) and len(found.differs) < _MOST_KEPT:
                found.differs.append(f"{different} {shown(path)}")
            continue
        if there and len(found.missed) < _MOST_KEPT:
            kinds = real[path][1]
            found.missed.append(
                f"{there}{f'({kinds})' if kinds else ''} {shown(path)}{f' (said: {here})' if here else ''}"
            )
        if here and len(found.invented) < _MOST_KEPT:
            kinds = ",".join(sorted(kind.value for kind in said[path].kinds)) if here == "changed" else ""
            found.invented.append(
                f"{here}{f'({kinds})' if kinds else ''} {shown(path)}{f' (was: {there})' if there else ''}"
            )
    found.not_compared = left_out
    return found


def _word(change: Change | None) -> str:
    if change is None:
        return ""
    if change.deleted:
        return "deleted"
    return "created" if change.created else "changed"


def _differs(change: Change, entry: Entry | None) -> str:
    """Return in what the entry is not as the rehearsal had it, empty if in nothing."""
    node = change.after
    if node is None or entry is None:
        return ""
    pairs = [
        ("type", node.type.value, entry.kind),
        ("mode", node.mode & 0o7777, entry.mode),
        ("uid", node.uid, entry.uid),
        ("gid", node.gid, entry.gid),
    ]
    if entry.kind == "file":
        pairs.append(("size", node.size, entry.size))
    return ",".join(name for name, one, other in pairs if one != other)
