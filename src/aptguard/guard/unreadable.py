# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot even be read: recorded, alerted and decided as every other transaction, by an ID of its own.

It may take packages away, and nobody can tell: an unknown verdict of the graver kind.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aptguard.guard.admission import admit
from aptguard.guard.caller import caller_from_request
from aptguard.guard.peer import Peer
from aptguard.guard.state import GuardState
from aptguard.policy.finding import Verdict
from aptguard.rehearsal.model import Unknown
from aptguard.report.model import Report
from aptguard.report.style import Style
from aptguard.transaction.fingerprint import short_id
from aptguard.transaction.model import Transaction


def admit_unreadable(
    state: GuardState,
    reason: str,
    parameters: Mapping[str, Any],
    peer: Peer,
    *,
    front_end: str,
    argv: Sequence[str],
    message: bytes = b"",
    run: str,
    style: Style,
    takes_away: bool = True,
    after_others: bool = False,
    approved: Callable[[Report, int | None], None],
) -> dict[str, Any]:
    """Return the hook's reply for a transaction of which nothing is known but ``reason``; as admit() does.

    ``argv`` is the command line of apt or dpkg, ``front_end`` the name of the one that asks where there is
    none, ``message`` what apt wrote to its hook, ``takes_away`` whether it may take packages away;
    ``after_others`` as for admit(). Where it may go on, so may every dpkg call of that run (``everything`` in
    the reply): nobody could list them.
    """
    policy = state.policy().policy
    fingerprint = _fingerprint(reason, argv, message)
    report = Report(
        id=short_id(fingerprint),
        fingerprint=fingerprint,
        time=time.time(),
        host=socket.gethostname(),
        verdict=Verdict.UNKNOWN,
        transaction=Transaction(os.path.basename(argv[0]) if argv else front_end, (), " ".join(argv) or None),
        user=_user(parameters, peer),
        unknowns=(Unknown("the transaction", reason),),
        complete=False,
        mode=policy.mode.value,
    )
    reply = admit(
        state,
        report,
        policy,
        run=run,
        style=style,
        removals_known=not takes_away,
        after_others=after_others,
        approved=approved,
    )
    return {**reply, "everything": True}


def _fingerprint(reason: str, argv: Sequence[str], message: bytes) -> str:
    """Return 64 hexadecimal digits, the same when the same is tried again.

    Of apt's message the packages count, if there is such a part: its configuration differs from run to run.
    Where neither that nor a command line is to be seen, no two are the same: an override of one must not let
    any other through.
    """
    packages = message.partition(b"\n\n")[2] or message
    if not argv and not message:
        packages = os.urandom(16)
    named = json.dumps([reason, *argv]).encode("ascii")
    return hashlib.sha256(b"\0".join((b"unreadable", named, packages))).hexdigest()


def _user(parameters: Mapping[str, Any], peer: Peer) -> str:
    try:
        return caller_from_request(parameters, pid=peer.pid, uid=peer.uid).user
    except ValueError:  # that may be what cannot be read
        return caller_from_request({}, pid=peer.pid, uid=peer.uid).user
