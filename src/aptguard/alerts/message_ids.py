# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of event and the number that the journal knows each by; never changed once released.

Each number has an entry in systemd/aptguard.catalog, which ``journalctl -x`` shows (a test compares them).
"""

from __future__ import annotations

from enum import Enum


class EventName(Enum):
    """What can happen that an administrator must be able to find again (APTGUARD_EVENT)."""

    BLOCKED = "blocked"
    ALLOWED = "allowed"
    UNKNOWN = "unknown"
    OVERRIDE_GRANTED = "override-granted"
    OVERRIDE_USED = "override-used"
    OVERRIDE_EXPIRED = "override-expired"
    PAUSED = "paused"
    RESUMED = "resumed"
    DIVERGED = "diverged"
    DANGER = "danger"
    DEGRADED = "degraded"


MESSAGE_IDS: dict[EventName, str] = {
    EventName.BLOCKED: "ccb6a666351e4307bacd297bcdcb10d8",
    EventName.ALLOWED: "e8bdfb087f3e43be879ad5ffa1bf65f7",
    EventName.UNKNOWN: "83960953169e4d969307c78a87a03751",
    EventName.OVERRIDE_GRANTED: "83250e8e70844a2f9fea6158c1e636a1",
    EventName.OVERRIDE_USED: "c34fc0ecc24b498fa45e782a5c8db4c9",
    EventName.OVERRIDE_EXPIRED: "c6654dfda2fb44bc9d8d883820165551",
    EventName.PAUSED: "b441692b36274eef9448ad52b4f12d27",
    EventName.RESUMED: "01cd624fff4c4799804a4894d25658fd",
    EventName.DIVERGED: "28f9f7e1d71d44718f2e8a43dc3b5332",
    EventName.DANGER: "1b28942d08cb49ac9e297ff70656834d",
    EventName.DEGRADED: "100c78e7734143fb92e5e7d13ba993d5",
}
