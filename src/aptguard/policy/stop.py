# SPDX-License-Identifier: GPL-3.0-or-later
"""Where one deletion makes the outcome certain and the rehearsal may end early; standard library only."""

from __future__ import annotations

from aptguard.changes.model import Kind
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy, PolicyException
from aptguard.policy.pattern_syntax import components, literal_prefix

_OFTEN_SHIPPED = ("/opt",)  # packages list files here, and may take those along


def stop_prefixes(policy: Policy) -> tuple[bytes, ...]:
    """Return the directories at or below which a deletion is always blocked.

    Those of blocking rules whose pattern ends in ``/**`` and has no other wildcard, if no exception reaches
    into them: the protected ones, and of the data places those at the top of the file system, where Debian's
    packages have no files (policy 9.1.2). A package that does list a file there makes the verdict
    ``unknown``, never ``allow``.
    """
    prefixes = []
    for rule in policy.path_rules:
        if rule.severity is not Severity.BLOCK or (rule.changes and Kind.DELETED.value not in rule.changes):
            continue
        for pattern in rule.patterns:
            prefix = pattern.text.removesuffix("/**")
            if (
                prefix not in ("", pattern.text, *_OFTEN_SHIPPED)
                and len(literal_prefix(pattern.text)) == len(components(prefix))
                and _nobodys_but_the_administrators(rule, prefix)
                and not any(_reaches(one, rule, prefix) for one in policy.exceptions)
            ):
                prefixes.append(prefix.encode("utf-8", "surrogateescape"))
    return tuple(dict.fromkeys(prefixes))


def _nobodys_but_the_administrators(rule: PathRule, prefix: str) -> bool:
    return rule.place is Place.PROTECTED or (rule.place is Place.DATA and prefix.count("/") == 1)


def _reaches(exception: PolicyException, rule: PathRule, prefix: str) -> bool:
    if exception.rules and rule.name not in exception.rules:
        return False
    inside = components(prefix)
    return not exception.paths or any(
        all(one == other for one, other in zip(literal_prefix(pattern.text), inside, strict=False))
        for pattern in exception.paths
    )
