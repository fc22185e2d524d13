# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt's terminal shows of a judged transaction. Pure.

A refusal is at most 25 lines of 80 columns, the verdict first; nothing in it can be forged by a file name
or by a package, as everything that comes from them is escaped.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap

from aptguard.policy.finding import Finding, Severity
from aptguard.rehearsal.model import Unknown
from aptguard.report.model import Report
from aptguard.report.quantity import moment, plural, size
from aptguard.report.style import Style
from aptguard.shown import shown

_ENTRY_LINES = 12  # of the 25 of a refusal
_SHORT = 48  # columns for a directory in a sentence
_WIDE = 72  # columns that the longest command needs beside its label
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def refusal(
    report: Report,
    style: Style,
    *,
    override_minutes: int,
    by_unknown: bool = False,
    after_others: bool = False,
) -> str:
    """Return the text for a transaction that is stopped, ending in a newline.

    ``by_unknown``: nothing harmful was found, but the verdict is ``unknown`` and the policy stops it.
    ``after_others``: it is one of several calls of dpkg, of which others may have been carried out.
    """
    unchanged = "nothing has been changed."
    if after_others:
        unchanged = "this call of dpkg has changed nothing; what was done before it stays."
    first = _wrapped(f"aptguard: BLOCKED - {unchanged}", style, "", "")
    lines = [style.bold_red(line) for line in first]
    to_hold = _to_hold(report)
    room = _ENTRY_LINES - len(first) + (0 if to_hold else 1)
    head = 2 if style.columns >= _WIDE else 5
    if by_unknown:
        what = f"What {_asked(report)} would do could not be rehearsed in full:"
        lines += _wrapped(what, style, "", "")[:head]
        entries = [_unknown(unknown, style) for unknown in report.unknowns]
        lines += _as_many_as_fit(entries, "reason", report, room)
        lines += _wrapped("That is no yes, so it is stopped (when_unable in the policy).", style, "", "")
    else:
        blocking = [finding for finding in report.findings if finding.severity is Severity.BLOCK]
        lines += _wrapped(f"{_asked(report)} would touch what is protected:", style, "", "")[:head]
        culprits = {_culprit(finding) for finding in blocking}
        if len(culprits) == 1 and len(blocking) > 1:
            lines.append(_clipped("  by ", culprits.pop(), style))
            entries = [_finding(finding, style, by=False) for finding in blocking]
        else:
            entries = [_finding(finding, style, by=True) for finding in blocking]
        lines += _as_many_as_fit(entries, "finding", report, room)
        if not report.complete:
            lines += _wrapped(not_complete(report, _SHORT), style, "  ", "  ")[:3]
    lines.append(style.bold("What to do:"))
    origin = next((finding.origin for finding in report.findings if ":" in finding.origin), "")
    ways = [("See everything", f"aptguard show {report.id}")]
    if to_hold:  # so that the other upgrades can go on by themselves
        ways.append(("Hold it back", f"apt-mark hold {to_hold}"))
    ways += [
        ("Change the policy", "/etc/aptguard/policy.toml"),
        *([("", f"the rule: {shown(origin)}")] if origin else []),
        ("Allow this, once", f'aptguard override {report.id} --reason "WHY"'),
        ("", f"and run the same command again within {override_minutes} minutes"),
    ]
    for label, how in ways:
        lines += _way(label, how, style)
    lines += _wrapped("(The error lines of the package manager that follow belong to this.)", style, "", "")
    return "".join(_cut(style.fit(line), style) + "\n" for line in lines)


def passed_with_doubts(report: Report, style: Style) -> str:
    """Return the one line for a transaction that goes on although its verdict is ``unknown``."""
    first = report.unknowns[0] if report.unknowns else None
    reason = f"{shown(first.what)}: {shown(first.reason)}" if first else "the rehearsal was cut off"
    line = f"aptguard: not fully rehearsed ({_shorten(reason, 90)}); see: aptguard show {report.id}"
    return style.fit(line) + "\n"


def passed_with_warnings(report: Report, style: Style) -> str:
    """Return the one line for an allowed transaction that a rule warns about."""
    line = f"aptguard: {plural(len(report.findings), 'warning')}, see: aptguard show {report.id}"
    return style.fit(line) + "\n"


def passed_by_override(report: Report, style: Style, reason: str, who: str) -> str:
    """Return the one line for a transaction that an override lets through."""
    line = (
        f"aptguard: {report.id} would be blocked; overridden by {shown(who)}: {_shorten(shown(reason), 80)}"
    )
    return style.fit(line) + "\n"


def passed_in_report_mode(report: Report, style: Style) -> str:
    """Return the one line for a transaction that only report mode lets through."""
    line = f"aptguard: would be blocked in enforce mode; see: aptguard show {report.id}"
    return style.fit(line) + "\n"


def passed_while_paused(report: Report, style: Style, until: float) -> str:
    """Return the one line for a transaction that only a pause lets through."""
    line = f"aptguard: PAUSED until {moment(until)}; this would be blocked, see: aptguard show {report.id}"
    return style.fit(line) + "\n"


def _to_hold(report: Report) -> str:
    """Return the packages to hold back where nobody was there to choose others; empty where somebody was."""
    if report.transaction.frontend != "unattended-upgrade":
        return ""
    names = [item.package for item in report.transaction.items]
    guilty = {finding.package for finding in report.findings if finding.severity is Severity.BLOCK}
    return " ".join([name for name in dict.fromkeys(names) if name in guilty or not guilty & {*names}][:3])


def _way(label: str, how: str, style: Style) -> list[str]:
    """Return one thing that can be done; on a narrow terminal a command stands whole on a line of its own."""
    if style.columns >= _WIDE:
        return [_clipped(f"  {label:<19}", how, style)]
    lines = _wrapped(how, dataclasses.replace(style, columns=style.columns - 2), "    ", "      ")
    if how.startswith("apt"):  # a command: to be copied as it stands
        lines = [*(f"{line} \\" for line in lines[:-1]), lines[-1]]
    return [*([f"  {label}"] if label else []), *lines]


def _asked(report: Report) -> str:
    transaction = report.transaction
    if transaction.command_line:
        return f"'{_shorten(shown(transaction.command_line), 100)}'"
    names = ", ".join(f"{item.action.value} {item.package}" for item in transaction.headline[:3])
    rest = len(transaction.headline) - 3
    return f"{shown(transaction.frontend)} ({names}{f' and {rest} more' if rest > 0 else ''})"


def _finding(finding: Finding, style: Style, *, by: bool) -> list[str]:
    subject = subject_of(finding)
    if finding.count > 1 and finding.path is not None:
        subject += f" and {plural(finding.count - 1, 'path')} below it"
    if finding.size:
        subject += f" ({size(finding.size)})"
    head = f"{shown(finding.change).upper():<9}"
    lines = _wrapped(subject, style, f"  {style.bold_red(head)} ", " " * 12)[:2]
    if finding.size and finding.count > 1 and finding.examples:
        lines.append(_clipped("            newest: ", shown(finding.examples[0]), style))
    if by:
        lines.append(_clipped("            by ", _culprit(finding), style))
    why = _wrapped(f"rule {shown(finding.rule)}: {shown(finding.reason)}", style, " " * 12, " " * 12)
    lines += why if len(why) <= 2 else [why[0], _shorten(why[1] + " ...", style.columns - 1)]
    return lines


def _culprit(finding: Finding) -> str:
    # Both come from inside of the rehearsal, where a script names its files as it likes.
    by = shown(" ".join(filter(None, (finding.package, finding.script)))) or "an unknown process"
    if finding.command:
        by += ": " + " ".join(shown(word) for word in finding.command)
    return by


def subject_of(finding: Finding) -> str:
    """Return what a finding is about, escaped: a path, an account or a package."""
    if finding.path is not None:
        return shown(finding.path)
    if finding.account is not None:
        return f"account {shown(finding.account)}"
    return f"package {shown(finding.subject_package or '')}"


def not_complete(report: Report, longest: int) -> str:
    """Return why the findings are not all; a directory in it is cut to ``longest`` columns."""
    below = report.lying_below
    if below is None:
        return "The rehearsal was cut off: this list is not complete."
    count = f"{'more than ' if below.at_least else ''}{plural(below.paths, 'path')}"
    directory = _shorten(shown(below.directory), longest)
    return f"Ended early, this list is not complete: {count} lay below {directory}."


def _unknown(unknown: Unknown, style: Style) -> list[str]:
    return _wrapped(f"{shown(unknown.what)}: {shown(unknown.reason)}", style, "  - ", "    ")[:4]


def _as_many_as_fit(entries: list[list[str]], noun: str, report: Report, room: int) -> list[str]:
    lines: list[str] = []
    for number, entry in enumerate(entries):
        if lines and len(lines) + len(entry) > room:
            left = len(entries) - number
            return [*lines, f"  and {plural(left, f'more {noun}')}: aptguard show {report.id}"]
        lines += entry
    return lines


def _wrapped(text: str, style: Style, first: str, later: str) -> list[str]:
    bare = first.replace("\x1b[1;31m", "").replace("\x1b[0m", "")
    lines = textwrap.wrap(
        text,
        style.columns - 1,
        initial_indent=" " * len(bare),
        subsequent_indent=later,
        break_on_hyphens=False,
    ) or [bare]
    return [first + lines[0][len(bare) :], *lines[1:]]


def _clipped(indent: str, text: str, style: Style) -> str:
    return indent + _shorten(text, max(style.columns - 1 - len(indent), 20))


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _cut(line: str, style: Style) -> str:
    """Return ``line`` no wider than the style allows; what colours take does not count."""
    bare = _COLOURS.sub("", line)
    return line if len(bare) <= style.columns else _shorten(bare, style.columns)
