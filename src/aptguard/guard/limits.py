# SPDX-License-Identifier: GPL-3.0-or-later
"""How long one rehearsal may take and how much it may write, by the size of the transaction. Pure.

A distribution upgrade of some hundred packages takes minutes and unpacks a gigabyte; bounds that are made
for a few packages would stop every one of them. Runaway scripts are caught by the part that does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.policy.model import PolicyLimits
from aptguard.rehearsal.model import Limits
from aptguard.transaction.model import Transaction

SECONDS_PER_PACKAGE = 3.0
# What xz -6 makes of executables and documents, with dpkg's own databases on top.
UNPACKED_PER_ARCHIVE_BYTE = 6
# Of what most archives hold xz makes a quarter; removing alone writes little more than dpkg's databases anew.
LIKELY_PER_ARCHIVE_BYTE = 5
LIKELY_ANYHOW = 32 << 20


def limits_for(policy: PolicyLimits, transaction: Transaction, archive_sizes: Iterable[int]) -> Limits:
    """Return the bounds for ``transaction``, whose .deb files have ``archive_sizes`` bytes."""
    archives = sum(archive_sizes)
    return Limits(
        seconds=policy.seconds + SECONDS_PER_PACKAGE * len(transaction.packages),
        upper_bytes=(policy.upper_mib << 20) + UNPACKED_PER_ARCHIVE_BYTE * archives,
        upper_likely_bytes=LIKELY_ANYHOW + LIKELY_PER_ARCHIVE_BYTE * archives,
        memory_bytes=policy.memory_mib << 20,
        processes=policy.processes,
        changes=policy.changes,
        trigger_seconds=policy.trigger_seconds,
    )
