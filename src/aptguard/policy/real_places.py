# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns whose path leads through a symbolic link of this machine; standard library only.

Changes come with canonical paths: where /data is a link to /mnt/disk/data, the pattern /data/** alone would
protect the link and nothing behind it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from aptguard.policy.model import Policy
from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_syntax import components, literal_prefix

Resolve = Callable[[bytes], bytes]


def with_real_places(policy: Policy, resolve: Resolve | None = None) -> Policy:
    """Return ``policy`` where each pattern that leads through a link is followed by one for the real place.

    ``resolve`` returns the canonical form of an absolute path, existing or not, as os.path.realpath does.
    """
    once = _step_by_step() if resolve is None else cache(resolve)
    return replace(
        policy,
        path_rules=tuple(
            replace(rule, patterns=_with_real(rule.patterns, once)) for rule in policy.path_rules
        ),
        exceptions=tuple(replace(one, paths=_with_real(one.paths, once)) for one in policy.exceptions),
    )


def _step_by_step() -> Resolve:
    """Return a function that does what os.path.realpath does, and looks at each directory but once.

    It takes absolute paths without ``.``, ``..`` and empty components, which no pattern has.
    """

    @cache
    def without_links(path: bytes) -> bool:
        parent = path.rpartition(b"/")[0]
        if parent and not without_links(parent):
            return False
        try:
            os.readlink(path)
        except OSError:
            return True  # no link, or nothing at all
        return False

    return lambda path: path if without_links(path) else os.path.realpath(path)


def real_text(text: str, resolve: Resolve = os.path.realpath) -> str | None:
    """Return the pattern for the real place of the pattern ``text``; None where that is the same.

    The last component of a pattern without wildcards is not followed: it stands for the link itself.
    """
    prefix = literal_prefix(text)
    parts = components(text)
    if len(prefix) == len(parts):
        prefix = prefix[:-1]
    if not prefix:
        return None
    directory = "/" + "/".join(prefix)
    real = resolve(directory.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    if real == directory:
        return None
    rest = "".join(f"/{part}" for part in parts[len(prefix) :])
    return ("" if real == "/" else _quoted(real)) + rest


def _with_real(patterns: tuple[Pattern, ...], resolve: Resolve) -> tuple[Pattern, ...]:
    result: list[Pattern] = []
    for pattern in patterns:
        result.append(pattern)
        real = real_text(pattern.text, resolve)
        if real is not None:
            result.append(Pattern(real, written=pattern.text))
    return tuple(result)


def _quoted(path: str) -> str:
    return "".join(f"[{character}]" if character in "*?[{}" else character for character in path)
