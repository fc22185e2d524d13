# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon's unit leaves open, by systemd's own list, says beside it why."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parent.parent.parent / "systemd" / "aptguard.service"
LEFT_OPEN = "# --- Left open\n"


def left_open(unit: Path) -> list[str]:
    """Return systemd's names of what the unit leaves open: ``PrivateTmp=``, ``RestrictNamespaces=~pid``."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("the program systemd-analyze is not installed (Debian package systemd)")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [item["name"] for item in json.loads(done.stdout) if item["set"] is False]


def why(text: str, directive: str) -> tuple[str, list[str]]:
    """Return the comment above a directive of the unit, or all under "Left open"; and its words."""
    above, values, comment = [], [], ""
    for line in text.splitlines():
        if line.startswith("#"):
            comment += line + "\n"
            continue
        if line.startswith(f"{directive}="):
            above.append(comment)
            values += line.partition("=")[2].split()
        # A directive of several lines has one comment, above the first.
        elif values:
            break
        comment = ""
    return ("".join(above), values) if values else (text.partition(LEFT_OPEN)[2], [directive])


def named(word: str, comment: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", comment))


def unexplained(text: str, name: str) -> list[str]:
    """Return which words of an open item the unit does not explain, in the form ``DIRECTIVE: WORD``."""
    found = []
    directives, _, pattern = name.partition("=~")
    for directive in directives.replace("=", "").split("/"):
        comment, words = why(text, directive)
        if pattern and words != [directive]:
            # "CAP_(DAC_*|FOWNER)" are those of them that the unit has; of a deny-list, what it has not.
            wanted = re.compile(pattern.replace("*", r"\w*"))
            words = [word for word in words if wanted.fullmatch(word)] or [pattern]
        elif words != [directive]:
            words = []  # the comment above is about all of its words
        missing = [word for word in words if not named(word.removeprefix("CAP_"), comment)]
        found += [f"{directive}: {word}" for word in missing or ([] if comment else ["no comment"])]
    return found


def test_each_directive_that_is_left_open_is_explained_beside_it() -> None:
    names = left_open(UNIT)
    assert len(names) > 30, "systemd's list was not read"
    text = UNIT.read_text("utf-8")
    assert {name: missing for name in names if (missing := unexplained(text, name))} == {}


EXPLAINED = f"""\
# mnt: to mount. Not pid.
RestrictNamespaces=mnt ipc
SystemCallFilter=~@clock
# SETUID: su(1).
CapabilityBoundingSet=CAP_SETUID
CapabilityBoundingSet=CAP_SETGID
{LEFT_OPEN}# PrivateTmp: it would be empty.
"""


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("PrivateTmp=", []),
        ("PrivateMounts=", ["PrivateMounts: PrivateMounts"]),
        ("User=/PrivateTmp=", ["User: User"]),
        ("RestrictNamespaces=~mnt", []),
        ("RestrictNamespaces=~ipc", ["RestrictNamespaces: ipc"]),
        ("SystemCallFilter=~@mount", ["SystemCallFilter: @mount"]),
        ("SystemCallFilter=", ["SystemCallFilter: no comment"]),
        ("CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP)", ["CapabilityBoundingSet: CAP_SETGID"]),
    ],
)
def test_what_has_no_explanation_is_found(name: str, missing: list[str]) -> None:
    assert unexplained(EXPLAINED, name) == missing
