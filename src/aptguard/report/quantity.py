# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, counts and times as a person reads them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def size(count: int) -> str:
    """Return a number of bytes in binary units (``4.2 MiB``)."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit takes every amount")


def number(count: int) -> str:
    """Return a count with its thousands apart (``1 204``)."""
    return f"{count:,}".replace(",", " ")


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Return ``1 file`` or ``3 files``, with thousands apart."""
    return f"{number(count)} {noun if count == 1 else plural_noun or noun + 's'}"


def moment(seconds: float) -> str:
    """Return ``seconds`` since the epoch in local time, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
