# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction in full, as text: ``aptguard show`` and ``aptguard check``. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.policy.finding import Finding
from aptguard.report.model import Report
from aptguard.report.quantity import moment, plural, size
from aptguard.report.real_run import real_run_lines
from aptguard.report.style import Style
from aptguard.report.text import not_complete, subject_of
from aptguard.report.tree import build_tree, script_lines, tree_lines
from aptguard.shown import shown

_EXAMPLES = 5
_LONGEST_PATH = 4096


def details(report: Report, style: Style, *, changes: bool = False) -> str:
    """Return everything that is known of one transaction, as lines; with ``changes`` each changed path."""
    lines = [
        f"{style.bold(report.id)}  {style.bold(report.verdict.value.upper())}"
        f"  {moment(report.time)}  on {shown(report.host)}"
        + ("  (report mode: not enforced)" if report.mode == "report" else ""),
        f"asked by {shown(report.user)} through {shown(report.transaction.frontend)}"
        + (f": {shown(report.transaction.command_line)}" if report.transaction.command_line else ""),
        "",
        "Transaction",
        *(f"  {line}" for line in _items(report)),
    ]
    if report.real_run is not None:
        lines += ["", "Real run", *(f"  {line}" for line in real_run_lines(report.real_run))]
    if report.findings:
        lines += ["", "Findings"]
        for finding in report.findings:
            lines += [f"  {line}" for line in _finding(finding)]
        if not report.complete:
            lines.append(f"  {not_complete(report, _LONGEST_PATH)}")
    if report.unknowns:
        lines += ["", "Not rehearsed"]
        lines += [f"  {shown(unknown.what)}: {shown(unknown.reason)}" for unknown in report.unknowns]
    if report.effects:
        lines += ["", "Attempted beyond files"]
        lines += [
            f"  {effect.kind}: {shown(effect.detail)}" + (f" (by {effect.cause})" if effect.cause else "")
            for effect in report.effects
        ]
    lines += ["", "Changes", *(f"  {line}" for line in _counts(report, changes))]
    others = [changed for changed in report.changed_paths if changed.owner_class != "transaction"]
    if others:
        lines += ["", "Of them not the packages' own files"]
        lines += [f"  {line}" for line in tree_lines(build_tree(others))]
    if report.changed_paths:
        lines += ["", "By whom", *(f"  {line}" for line in script_lines(report.changed_paths))]
    lines += [f"note: {shown(note)}" for note in report.notes]
    seconds = ", ".join(f"{stage} {value:.2f} s" for stage, value in report.timing.items())
    lines += ["", f"Took {seconds}" if seconds else "Took no time that was measured"]
    return "".join(style.fit(line) + "\n" for line in lines)


def _items(report: Report) -> Iterator[str]:
    for item in report.transaction.items:
        versions = " -> ".join(filter(None, (item.old_version, item.new_version)))
        assumed = " (remove or purge: not known yet, the worse was taken)" if item.purge_assumed else ""
        yield f"{item.action.value:<10} {item.qualified} {versions}{assumed}"


def _finding(finding: Finding) -> Iterator[str]:
    amount = f", {plural(finding.count, 'path')}" if finding.count > 1 else ""
    amount += f", {size(finding.size)}" if finding.size else ""
    yield f"{finding.severity.value.upper()}  {shown(finding.change)} {subject_of(finding)}{amount}"
    yield f"      {shown(finding.reason)}"
    by = " ".join(filter(None, (finding.package, finding.script)))
    if by:
        yield f"      by {shown(by)}"
    if finding.command:
        yield "      command: " + " ".join(shown(word) for word in finding.command)
    yield f"      rule {shown(finding.rule)}" + (f" ({shown(finding.origin)})" if finding.origin else "")
    for example in finding.examples[:_EXAMPLES] if finding.count > 1 else ():
        yield f"      such as {shown(example)}"


def _counts(report: Report, changes: bool) -> Iterator[str]:
    for heading, counts in report.changes.items():
        if counts:
            yield f"{heading}: " + ", ".join(f"{name} {count}" for name, count in counts.items())
    if not report.changed_paths:
        yield "none"
    elif changes:
        for changed in report.changed_paths:
            by = " ".join(filter(None, (changed.package, changed.script))) or "?"
            kinds, whose = shown(",".join(changed.kinds)), shown(f"{changed.owner_class}; {by}")
            yield f"{kinds:<10} {shown(changed.path)}  [{whose}]"
