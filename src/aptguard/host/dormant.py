# SPDX-License-Identifier: GPL-3.0-or-later
"""The dangers that lie dormant in this machine's accounts, and in those that sysusers.d(5) would make."""

from __future__ import annotations

from aptguard.host.accounts import read_accounts
from aptguard.host.sysusers import declared_files, not_yet_made
from aptguard.policy.dangerous_homes import dormant_dangers
from aptguard.policy.finding import Finding
from aptguard.policy.model import Policy


def dormant_accounts(policy: Policy, root: bytes = b"") -> tuple[Finding, ...]:
    """Return what dormant_dangers() says of the machine below ``root``; OSError for unreadable accounts."""
    contents = []
    for path in (b"/etc/passwd", b"/etc/group"):
        with open(root + path, "rb") as file:
            contents.append(file.read())
    accounts = read_accounts(contents[0], contents[1])
    coming = not_yet_made(declared_files(root).values(), accounts)
    return dormant_dangers(accounts, policy, coming=coming)
