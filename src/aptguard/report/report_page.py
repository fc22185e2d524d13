# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction as a page: ``aptguard show ID --html FILE``. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.policy.finding import Finding
from aptguard.report.model import RealRun, Report
from aptguard.report.page import (
    Html,
    card,
    heading,
    page,
    paragraph,
    section,
    table,
    text,
    timeline,
    tree,
)
from aptguard.report.quantity import moment, number, plural, size
from aptguard.report.real_run import ALARMING
from aptguard.report.text import not_complete, subject_of
from aptguard.report.tree import actor, build_tree, script_lines

_LONGEST_PATH = 4096


def report_page(report: Report) -> str:
    """Return the page of one transaction, one HTML document."""
    return page(f"aptguard {report.id}", _head(report), _sections(report))


def _head(report: Report) -> Iterator[Html]:
    verdict = report.verdict.value
    mode = " (report mode: not enforced)" if report.mode == "report" else ""
    yield heading(report.id, verdict.upper() + mode, verdict)
    transaction = report.transaction
    asked = f"{moment(report.time)} on {report.host}, asked by {report.user} through {transaction.frontend}"
    yield paragraph(text(asked), kind="quiet")
    if transaction.command_line:
        yield paragraph(text(transaction.command_line, "mono"))


def _sections(report: Report) -> Iterator[Html]:
    if report.real_run is not None:
        yield section("Real run", _real_run(report.real_run))
    if report.findings:
        more = [] if report.complete else [paragraph(text(not_complete(report, _LONGEST_PATH)))]
        yield section("Findings", [*(_finding(finding) for finding in report.findings), *more])
    if report.unknowns:
        cards = [
            card([paragraph(text(one.what)), paragraph(text(one.reason), kind="quiet")], "unknown")
            for one in report.unknowns
        ]
        yield section("Not rehearsed", cards)
    items = (
        (
            text(item.action.value),
            text(item.qualified, "mono"),
            text(" -> ".join(filter(None, (item.old_version, item.new_version))), "mono"),
        )
        for item in report.transaction.items
    )
    yield section("Packages", [table(("Action", "Package", "Version"), items)])
    if report.scripts:
        rows = ((actor(run.package, run.script), run.begin, run.seconds) for run in report.scripts)
        yield section("Scripts in their order", [timeline(rows)])
    if report.effects:
        effects = (
            (text(effect.kind), text(effect.detail), text(effect.cause or "")) for effect in report.effects
        )
        yield section("Attempted beyond files", [table(("What", "Detail", "By"), effects)])
    yield from _changes(report)
    seconds = ", ".join(f"{stage} {value:.2f} s" for stage, value in report.timing.items())
    notes = [paragraph(text(note), kind="quiet") for note in report.notes]
    if notes or seconds:
        took = [paragraph(text(f"Took {seconds}"), kind="quiet")] if seconds else []
        yield section("About the rehearsal", [*notes, *took])


def _real_run(run: RealRun) -> Iterator[Html]:
    alarming = run.end in ALARMING
    said = f"{run.end.value}, {moment(run.time)}: {run.reason}"
    yield card([paragraph(text(said, "block" if alarming else ""))], "block" if alarming else "")
    if run.divergences:
        rows = (
            (
                text(one.kind.value),
                text(one.path if one.path is not None else f"package {one.package}", "mono"),
                text(one.reason),
            )
            for one in run.divergences
        )
        yield table(("What", "Where", "Why it is said"), rows)
    yield paragraph(text(f"{number(run.paths)} paths compared, {number(run.omitted)} left out"), kind="quiet")


def _changes(report: Report) -> Iterator[Html]:
    if not report.changed_paths:
        yield section("Changes", [paragraph(text("None."))])
        return
    others = [changed for changed in report.changed_paths if changed.owner_class != "transaction"]
    own = [changed for changed in report.changed_paths if changed.owner_class == "transaction"]
    yield section("By whom", [paragraph(text(line)) for line in script_lines(report.changed_paths)])
    if others:
        yield section("Changes of what is not the packages' own", [tree(build_tree(others))])
    if own:
        yield section("Changes of the packages' own files", [tree(build_tree(own))])


def _finding(finding: Finding) -> Html:
    amount = [plural(finding.count, "path")] if finding.count > 1 else []
    amount += [size(finding.size)] if finding.size else []
    kind = finding.severity.value
    lines = [
        paragraph(
            text(f"{kind}: {finding.change}", kind),
            text(subject_of_unescaped(finding), "mono"),
            text(", ".join(amount), "quiet"),
        ),
        paragraph(text(finding.reason)),
    ]
    by = " ".join(filter(None, (finding.package, finding.script)))
    if by or finding.command:
        command = b" ".join(finding.command)
        lines.append(paragraph(text(f"by {by or 'an unknown process'}"), text(command, "mono")))
    origin = f" ({finding.origin})" if finding.origin else ""
    lines.append(paragraph(text(f"rule {finding.rule}{origin}"), kind="quiet"))
    if finding.count > 1 and finding.examples:
        lines.append(
            paragraph(text("such as", "quiet"), *(text(path, "mono") for path in finding.examples[:5]))
        )
    return card(lines, kind)


def subject_of_unescaped(finding: Finding) -> str | bytes:
    """Return what a finding is about, not yet escaped: a path, or words."""
    return finding.path if finding.path is not None else subject_of(finding)
