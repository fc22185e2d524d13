# SPDX-License-Identifier: GPL-3.0-or-later
"""How often each user may call: some calls in a row, then one in so many seconds. Pure."""

from __future__ import annotations

# Ids of a user namespace (subuid(5)) are thousands for one person.
_USERS = 256


class CallRate:
    """Counts calls by uid; ``in_a_row`` may come at once, and each is made good after ``seconds``.

    For one thread, which says what time it is. Of more than ``users`` of them only so many are remembered.
    """

    def __init__(self, in_a_row: int, seconds: float, *, users: int = _USERS) -> None:
        self._seconds = seconds
        self._all_seconds = in_a_row * seconds
        self._users = users
        self._good_again: dict[int, float] = {}  # monotonic: when all calls of a user will be made good

    def __len__(self) -> int:
        """How many users are remembered."""
        return len(self._good_again)

    def take(self, uid: int, now: float) -> float:
        """Return 0.0 and count a call of ``uid`` at ``now`` (monotonic, in seconds).

        When it comes too early, return in how many seconds one may come; it is not counted then.
        """
        if uid not in self._good_again and len(self._good_again) >= self._users:
            self._make_room(uid, now)
        good_again = max(self._good_again.get(uid, now), now) + self._seconds
        early = good_again - now - self._all_seconds
        if early > 0:
            return early
        self._good_again[uid] = good_again
        return 0.0

    def _make_room(self, uid: int, now: float) -> None:
        owing = {user: time for user, time in self._good_again.items() if time > now}
        if len(owing) >= self._users:
            # Who takes another's place takes over what that one owes: new ids are not new calls.
            least = min(owing, key=owing.__getitem__)
            owing[uid] = owing.pop(least)
        self._good_again = owing
