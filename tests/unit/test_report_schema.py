# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON report is what the shipped schema says, and the schema forbids what must not be."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from own_command import make_report

from aptguard.alerts.events import event_from_report
from aptguard.alerts.outlets import event_as_plain
from aptguard.policy.finding import Finding, Severity, Verdict
from aptguard.rehearsal.model import Effect, ScriptRun, Unknown
from aptguard.report.machine import report_as_plain
from aptguard.report.model import ChangedPath, Divergence, DivergenceKind, RealRun, Report, RunEnd

jsonschema = pytest.importorskip(
    "jsonschema", reason="the library jsonschema is not installed (Debian package python3-jsonschema)"
)

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "src/aptguard/report/report.schema.json").read_text()
)


def validator() -> Any:
    return jsonschema.Draft202012Validator(SCHEMA)


def account_finding() -> Finding:
    return Finding("account-home", Severity.WARN, "Its home is /.", "home", account="old\nstats")


def package_finding() -> Finding:
    return Finding("protected-package", Severity.BLOCK, "It is needed.", "removed", subject_package="dpkg")


REPORTS: dict[str, Report] = {
    "allowed": make_report(1, Verdict.ALLOW),
    "blocked": make_report(2),
    "all kinds of subjects": make_report(3, findings=(account_finding(), package_finding())),
    "everything": make_report(
        4,
        Verdict.UNKNOWN,
        unknowns=(Unknown("the mount", "network\nfs", b"/mnt/\xff"), Unknown("x", "y")),
        effects=(Effect("socket", "/run/\x1b[2J", None), Effect("mount", "a", "postrm purge")),
        notes=("a note",),
        scripts=(ScriptRun(None, "config", 0.0, 0.1),),
        changes={"kinds": {"deleted": 2}, "owners": {"unowned": 2}},
        changed_paths=(
            ChangedPath(b"/srv/\n\xff", ("deleted",), "unowned", 5, "foo", "postrm purge"),
            ChangedPath(b"/srv/b", ("mode", "owner"), "other package", 5),
        ),
        timing={"rehearse": 0.123456789},
        complete=False,
        mode="report",
        real_run=RealRun(
            1_790_000_100.0,
            RunEnd.DIVERGED,
            "2 things went\notherwise",
            (
                Divergence(DivergenceKind.GONE, "it is gone", b"/srv/\n\xff"),
                Divergence(DivergenceKind.STATE, "it is half-configured", package="toy"),
            ),
            paths=3,
            omitted=1,
        ),
    ),
}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
@pytest.mark.parametrize("changes", [False, True])
def test_a_report_is_what_the_schema_says(report: Report, changes: bool) -> None:
    plain = json.loads(json.dumps(report_as_plain(report, changes=changes)))
    assert [error.message for error in validator().iter_errors(plain)] == []


def test_what_programs_in_notify_d_get_is_a_report_with_more_keys() -> None:
    report = REPORTS["blocked"]
    told = event_as_plain(event_from_report(report), report, 0.0)
    assert [error.message for error in validator().iter_errors(told)] == []


def test_every_key_of_a_report_is_described() -> None:
    plain = report_as_plain(REPORTS["everything"], changes=True)
    finding = report_as_plain(REPORTS["blocked"])["findings"][0]
    assert set(plain) <= set(SCHEMA["properties"])
    assert set(finding) <= set(SCHEMA["$defs"]["finding"]["properties"])
    assert set(plain["changes"]["paths"][0]) == set(SCHEMA["$defs"]["change"]["properties"])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("verdict",), "safe"),
        (("id",), "7F3K-92Q0"),
        (("schema",), 2),
        (("time",), "yesterday"),
        (("host",), "a\nb"),
        (("findings", 0, "path"), None),
        (("findings", 0, "count"), 0),
        (("transaction", "items", 0, "action"), "vanish"),
        (("complete",), "yes"),
        (("real_run",), {"end": "well"}),
    ],
)
def test_the_schema_refuses_what_no_report_may_say(place: tuple[Any, ...], value: object) -> None:
    plain = copy.deepcopy(report_as_plain(REPORTS["blocked"]))
    inner: Any = plain
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert list(validator().iter_errors(plain)) != []
