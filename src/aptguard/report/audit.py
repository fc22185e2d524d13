# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit as text, as JSON and as a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aptguard.policy.finding import Finding
from aptguard.report.audited import Audited, Outcome
from aptguard.report.machine import finding_as_plain, timestamp
from aptguard.report.page import Html, card, heading, page, paragraph, section, table, text
from aptguard.report.quantity import moment, plural, size
from aptguard.report.style import Style
from aptguard.shown import shown

_MOST_NAMES = 12
_LONGEST_REASON = 200  # on a terminal
_MOST_FINDINGS = 6  # of one package on a terminal


@dataclass(frozen=True, slots=True)
class Audit:
    """All results of one audit; ``base`` was not tried; ``dormant`` are findings on accounts."""

    host: str
    time: float
    seconds: float
    results: tuple[Audited, ...]
    base: tuple[str, ...]
    dormant: tuple[Finding, ...]

    def of(self, outcome: Outcome) -> list[Audited]:
        """Return the results with ``outcome``, in the order of names."""
        found = [one for one in self.results if one.outcome is outcome]
        return sorted(found, key=lambda one: (one.candidate.package, one.candidate.architecture))

    @property
    def dangers(self) -> int:
        """How many land mines and dormant accounts there are."""
        return len(self.of(Outcome.LAND_MINE)) + len(self.dormant)


def audit_text(audit: Audit, style: Style) -> str:
    """Return what the terminal shows."""
    mines, unknown = audit.of(Outcome.LAND_MINE), audit.of(Outcome.UNKNOWN)
    lines = [
        f"{plural(len(audit.results), 'purge')} rehearsed in {audit.seconds:.0f} s: "
        f"{plural(len(mines), 'land mine')}, {plural(len(audit.dormant), 'dormant account')}, "
        f"{len(unknown)} unknown."
    ]
    if mines:
        lines.append(style.bold_red("Purging one of these would do harm on this machine today:"))
        for mine in mines:
            lines.append(f"  {style.bold(shown(mine.candidate.name))} {_state(mine)}")
            lines += [f"    {line}" for one in mine.findings[:_MOST_FINDINGS] for line in _told(one)]
            left = len(mine.findings) - _MOST_FINDINGS
            if left > 0:
                lines.append(f"    and {plural(left, 'more finding')}")
    if audit.dormant:
        lines.append(style.bold("Accounts whose removal would do harm:"))
        lines += [f"  {shown(one.account or '')}: {one.reason}" for one in audit.dormant]
    if unknown:
        lines.append(style.bold("Not known, as the rehearsal did not come to its end:"))
        for one in unknown[:_MOST_NAMES]:
            reason = f"{shown(one.unknowns[0].what)}: {shown(one.unknowns[0].reason)}"
            lines.append(f"  {shown(one.candidate.name)}: {_clipped(reason)}")
        if len(unknown) > _MOST_NAMES:
            lines.append(f"  and {plural(len(unknown) - _MOST_NAMES, 'more package')} (--json lists all)")
    if audit.base:
        lines.append(f"Not tried: {plural(len(audit.base), 'package')} that the base system stands on.")
    if mines:
        lines.append(f"One in full: aptguard check purge {shown(mines[0].candidate.package)}")
    return "".join(style.fit(line) + "\n" for line in lines)


def audit_as_plain(audit: Audit) -> dict[str, Any]:
    """Return the JSON document of ``audit --json``."""
    return {
        "host": shown(audit.host),
        "time": timestamp(audit.time),
        "seconds": round(audit.seconds, 1),
        "rehearsed": len(audit.results),
        "land_mines": [_as_plain(one) for one in audit.of(Outcome.LAND_MINE)],
        "unknown": [_as_plain(one) for one in audit.of(Outcome.UNKNOWN)],
        "harmless": [shown(one.candidate.name) for one in audit.of(Outcome.HARMLESS)],
        "dormant": [finding_as_plain(one) for one in audit.dormant],
        "not_tried": [shown(name) for name in audit.base],
    }


def audit_page(audit: Audit) -> str:
    """Return the page of the audit, one HTML document."""
    mines = audit.of(Outcome.LAND_MINE)
    verdict = plural(len(mines), "land mine") if mines else "no land mine"
    told = f"{plural(len(audit.results), 'purge')} rehearsed on {audit.host}, {moment(audit.time)}"
    head = [heading("aptguard audit", verdict, "block" if mines else "allow"), paragraph(text(told, "quiet"))]
    return page(f"aptguard audit of {audit.host}", head, _sections(audit))


def _sections(audit: Audit) -> Iterator[Html]:
    mines, unknown = audit.of(Outcome.LAND_MINE), audit.of(Outcome.UNKNOWN)
    if mines:
        yield section("Purging one of these would do harm on this machine today", map(_mine, mines))
    if audit.dormant:
        rows = ((text(one.account or "", "mono"), text(one.reason)) for one in audit.dormant)
        yield section("Accounts whose removal would do harm", [table(("Account", "Why"), rows)])
    if unknown:
        rows = (
            (
                text(one.candidate.name, "mono"),
                text("; ".join(f"{why.what}: {why.reason}" for why in one.unknowns)),
            )
            for one in unknown
        )
        yield section("Not known", [table(("Package", "Why"), rows)])
    harmless = [one.candidate.name for one in audit.of(Outcome.HARMLESS)]
    yield section("Harmless", [paragraph(text(", ".join(harmless) or "none", "mono"))])
    if audit.base:
        because = "The base system stands on these; nothing runs without them, so nothing was rehearsed."
        yield section("Not tried", [paragraph(text(because)), paragraph(text(", ".join(audit.base), "mono"))])


def _mine(mine: Audited) -> Html:
    parts = [paragraph(text(mine.candidate.name, "mono"), text(_state(mine), "quiet"))]
    for finding in mine.findings:
        first, *others = _told(finding)
        parts.append(paragraph(text(first, "block")))
        parts += [paragraph(text(line), kind="quiet") for line in others]
    return card(parts, "block")


def _state(mine: Audited) -> str:
    removed = ", removed before; its configuration is left" if mine.candidate.status == "config-files" else ""
    return f"{shown(mine.candidate.version)}{removed}"


def _told(finding: Finding) -> Iterable[str]:
    """Yield one line of what would happen, and one of who does it."""
    about = finding.path if finding.path is not None else (finding.account or finding.subject_package or "")
    amount = [plural(finding.count, "path")] if finding.count > 1 else []
    amount += [size(finding.size)] if finding.size else []
    more = f" ({', '.join(amount)})" if amount else ""
    yield f"{finding.change} {shown(about)}{more}"
    command = shown(b" ".join(finding.command))
    by = " ".join(filter(None, (finding.script or "dpkg", f"({command})" if command else "")))
    yield f"  by its {by}; rule {finding.rule}: {finding.reason}"


def _clipped(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."


def _as_plain(one: Audited) -> dict[str, Any]:
    return {
        "package": shown(one.candidate.package),
        "architecture": one.candidate.architecture,
        "version": shown(one.candidate.version),
        "status": one.candidate.status,
        "findings": [finding_as_plain(finding) for finding in one.findings],
        "unknowns": [{"what": shown(why.what), "reason": shown(why.reason)} for why in one.unknowns],
    }
