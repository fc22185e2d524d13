# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script tried and was refused: no trace on disk, but the next run may go otherwise.

Standard library only. The places are read from what the programs wrote and from the recorded effects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from aptguard.policy.check_settings import check_setting
from aptguard.policy.finding import Finding
from aptguard.policy.model import CheckSetting, Policy
from aptguard.policy.output_places import OutputPlaces
from aptguard.rehearsal.model import (
    DESTRUCTION,
    REFUSED,
    UNANSWERED,
    UNCLEAR,
    RehearsalResult,
    ScriptRun,
    Unknown,
)
from aptguard.shown import shown

# GNU coreutils 9 and findutils 4.9, in the C locale and with typographic quotes.
_QUOTED = rb"(?:'|\xe2\x80\x98)(/[^'\n]*?)(?:'|\xe2\x80\x99)"
_ROOT = re.compile(
    rb"^(?:\S*/)?rm: (?:it is dangerous to operate recursively on (?:'|\xe2\x80\x98)(/)(?:'|\xe2\x80\x99)"
    rb"|cannot remove (?:'|\xe2\x80\x98)(/)(?:'|\xe2\x80\x99))",
    re.MULTILINE,
)
_READ_ONLY = re.compile(
    rb"^(?:\S*/)?(?:rm|rmdir|unlink|shred|mv|find): [^\n]*?" + _QUOTED + rb"[^\n]*: Read-only file system",
    re.MULTILINE,
)
_SLASHES = re.compile(rb"/+")
# Where the rehearsal has no device nodes of its own they are mounts, and no deletion is seen but this way.
_DEVICE = re.compile(
    rb"^(?:\S*/)?rm: cannot remove (?:'|\xe2\x80\x98)(/dev/(?!\.rehearsal)[^'\n]*?)(?:'|\xe2\x80\x99)"
    rb": Device or resource busy",
    re.MULTILINE,
)
_KERNEL = (b"/proc/", b"/sys/", b"/dev/")
# What cannot be told, and why, of each kind of effect that makes the verdict unknown.
_NOT_KNOWN = {
    UNCLEAR: ("what follows from a call of a script", "no rehearsal can do as the machine does"),
    REFUSED: (
        "what follows from a call that is refused here alone",
        "no rehearsal can do as the machine does",
    ),
    UNANSWERED: ("what follows from the answer to a script", "no rehearsal can answer as the machine does"),
}


def attempt_findings(result: RehearsalResult, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each place that a script tried to destroy and could not."""
    setting = check_setting(policy, "attempt")
    seen: set[bytes] = set()
    places: OutputPlaces | None = None
    for position, path, reason in _refusals(result.output, result.mount_points):
        if path in seen:
            continue
        seen.add(path)
        places = places or OutputPlaces(result.output, result.scripts)
        package, script = places.writer(position)
        yield _finding(setting, path, reason, package, script)
    for effect in result.effects:
        if effect.kind == "attempt":
            reason = f"A script tried to do harm and was stopped by the rehearsal: {shown(effect.detail)}."
        elif effect.kind == DESTRUCTION:
            reason = f"A script {shown(effect.detail)}: no rehearsal can show what that destroys."
        else:
            continue
        package, script = _caller(effect.cause, result.scripts)
        yield _finding(setting, effect.path, reason, package, script)


def attempt_unknowns(result: RehearsalResult) -> Iterator[Unknown]:
    """Yield an unknown for each call that goes otherwise on the machine, or is answered otherwise there."""
    for effect in result.effects:
        if effect.kind in _NOT_KNOWN:
            what, why = _NOT_KNOWN[effect.kind]
            by = f" (by {effect.cause})" if effect.cause else ""
            yield Unknown(what, f"a script {shown(effect.detail)}{by}, which {why}", effect.path)


def _caller(cause: str | None, runs: Iterable[ScriptRun]) -> tuple[str | None, str | None]:
    """Return package and script; its argument, which a recorded call does not tell, where only one ran."""
    package, _, script = (cause or "").partition(" ")
    if " " in script:
        return package, script
    ran = {run.script for run in runs if run.package == package and run.script.startswith(f"{script} ")}
    return package or None, ran.pop() if len(ran) == 1 else script or None


def _refusals(output: bytes, mount_points: Mapping[bytes, bool]) -> Iterator[tuple[int, bytes, str]]:
    """Yield where in the output a refusal stands, which place it names, and a sentence on it.

    What the machine refuses as well is none: a script that first wanted to have it writable is told of.
    """
    root = _ROOT.search(output)
    if root is not None:
        yield root.start(), b"/", "rm was told to delete / and refused."
    for match in _READ_ONLY.finditer(output):
        path = _SLASHES.sub(b"/", match.group(1))
        if not path.startswith(_KERNEL) and not _is_read_only(path, mount_points):
            reason = f"A script tried to delete {shown(path)}, which the rehearsal could only show read-only."
            yield match.start(), path, reason
    for match in _DEVICE.finditer(output):
        reason = f"A script tried to delete the device {shown(match[1])}, which programs everywhere rely on."
        yield match.start(), match[1], reason


def _is_read_only(path: bytes, mount_points: Mapping[bytes, bool]) -> bool:
    above = [point for point in mount_points if path.startswith(point.rstrip(b"/") + b"/") or path == point]
    return bool(above) and mount_points[max(above, key=len)]


def _finding(
    setting: CheckSetting, path: bytes | None, reason: str, package: str | None, script: str | None
) -> Finding:
    return Finding(
        rule=setting.name,
        severity=setting.severity,
        reason=reason,
        change="attempted",
        path=path,
        subject_package=None if path is not None else package or "",
        package=package,
        script=script,
        origin=setting.origin,
    )
