# SPDX-License-Identifier: GPL-3.0-or-later
"""Who took an account away, or changed it, where many write the same files; standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from aptguard.changes.model import Cause
from aptguard.rehearsal.model import RehearsalResult

PASSWD, GROUP = b"/etc/passwd", b"/etc/group"

# What matters of a line of passwd(5) or group(5), None for no line.
Aspect = Callable[[list[bytes] | None], object]


def presence(fields: list[bytes] | None) -> object:
    """Return whether there is a line."""
    return fields is not None


def numbers(fields: list[bytes] | None) -> object:
    """Return uid and gid; of a group its gid."""
    return None if fields is None else tuple(fields[2:4] if len(fields) > 4 else fields[2:3])


def home(fields: list[bytes] | None) -> object:
    """Return the home directory."""
    return None if fields is None else b"".join(fields[5:6])


def members(fields: list[bytes] | None) -> object:
    """Return the members of a group."""
    return None if fields is None else frozenset(b"".join(fields[3:4]).split(b","))


class AccountCauses:
    """The steps in which the files changed; where there are none, whoever changed them at all."""

    def __init__(self, result: RehearsalResult) -> None:
        self._steps = result.account_steps
        self._by_path: dict[bytes, tuple[Cause, ...]] = {}
        self._commands: dict[tuple[bytes, ...], Cause] = {}
        for change in result.changes:
            causes = (
                *(() if change.cause is None else (change.cause,)),
                *result.earlier_causes.get(change.path, ()),
            )
            if change.path in (PASSWD, GROUP):
                self._by_path.setdefault(change.path, causes)
            self._note(causes)
        for step in self._steps:
            self._note(step.causes)

    def _note(self, causes: Iterable[Cause]) -> None:
        for cause in causes:
            if cause.command:
                self._commands.setdefault(cause.command, cause)

    def commands_on(self, name: str) -> dict[tuple[bytes, ...], Cause]:
        """Return the commands that were seen at work and that name the account, with who called them."""
        word = name.encode("utf-8", "surrogateescape")
        return {command: cause for command, cause in self._commands.items() if word in command[1:]}

    def of(self, name: str, path: bytes, aspect: Aspect) -> tuple[Cause, ...]:
        """Return who may have changed that aspect of the account (``path`` is PASSWD) or group (GROUP).

        Each script once; without steps that tell, all who wrote the file.
        """
        found: dict[tuple[str | None, str | None], Cause] = {}
        start = name.encode("utf-8", "surrogateescape") + b":"
        for step in self._steps:
            if step.path != path:
                continue
            was, now = _line(step.lost, start), _line(step.gained, start)
            if aspect is presence and was is None:
                continue  # whoever brought it took nothing away
            if aspect(was) != aspect(now):
                for cause in step.causes or (Cause(None, None),):
                    found.setdefault((cause.package, cause.script), cause)
        return tuple(found.values()) or tuple(_each_script_once(self._writers(path)))

    def _writers(self, path: bytes) -> tuple[Cause, ...]:
        other = GROUP if path == PASSWD else PASSWD
        return self._by_path.get(path) or self._by_path.get(other) or ()


def _each_script_once(causes: Iterable[Cause]) -> Iterator[Cause]:
    seen = set()
    for cause in causes:
        key = (cause.package, cause.script)
        if key not in seen:
            seen.add(key)
            yield cause


def _line(lines: Iterable[bytes], start: bytes) -> list[bytes] | None:
    return next((line.split(b":") for line in lines if line.startswith(start)), None)
