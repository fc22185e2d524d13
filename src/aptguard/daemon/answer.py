# SPDX-License-Identifier: GPL-3.0-or-later
"""From one message to its replies: read, checked, handed to the guard; runs in a thread of its own."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable
from typing import Any, Protocol

from aptguard.alerts.journal import log
from aptguard.daemon import varlink
from aptguard.daemon.access import (
    ABOUT_FILES,
    Access,
    is_mount_namespace,
    sees_the_same_files,
    shares_root,
)
from aptguard.daemon.interface import INTERFACE, CallRefusedError, answer_service, check_declared
from aptguard.daemon.varlink import SERVICE, Call
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import Peer


class Dispatch(Protocol):
    """What does the work: guard.service.Guard.dispatch."""

    def __call__(
        self,
        method: str,
        parameters: dict[str, Any],
        *,
        peer: Peer,
        progress: Callable[[str], None] | None,
        cancelled: threading.Event,
    ) -> dict[str, Any]:
        """Return the reply's parameters; raises GuardError with the error's name and a sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One message and all that is known of who sent it."""

    message: bytes
    peer: Peer
    groups: frozenset[int]
    descriptors: tuple[int, ...]
    cancelled: threading.Event
    early_seconds: float = 0.0  # by which it came too soon after the user's other calls


def answer(
    request: Request, dispatch: Dispatch, access: Access, send_progress: Callable[[bytes], None]
) -> tuple[bytes, bool]:
    """Return the last reply, as bytes (none for a one-way call), and whether the connection may go on.

    Never raises: what fails becomes an error that the client can name, and never a good reply.
    """
    try:
        call = varlink.read_call(request.message)
    except varlink.MessageError as error:
        return own_error(error.name, str(error)), False
    try:
        reply = varlink.reply_bytes(_result(call, request, dispatch, access, send_progress))
    except CallRefusedError as error:
        reply = varlink.error_bytes(error.name, error.parameters)
    except GuardError as error:
        reply = own_error(error.name, error.message)
    except BaseException as error:
        if not request.cancelled.is_set():
            log().exception("A call failed", method=call.method, pid=request.peer.pid)
        reply = own_error("InternalError", f"aptguardd failed in {call.method}: {error!r}")
    return (b"" if call.oneway else reply), True


def own_error(name: str, message: str) -> bytes:
    """Return the error ``name`` of our interface with its sentence, ready to be sent."""
    return varlink.error_bytes(f"{INTERFACE}.{name}", {"message": message})


def _result(
    call: Call,
    request: Request,
    dispatch: Dispatch,
    access: Access,
    send_progress: Callable[[bytes], None],
) -> dict[str, Any]:
    if request.early_seconds > 0:
        if access.worth_recording(request.peer):
            log().warning("Calls came too often", uid=request.peer.uid, pid=request.peer.pid)
        raise GuardError(
            "TooOften",
            f"Too many calls by uid {request.peer.uid}, the last one {call.method}: try again in"
            f" {math.ceil(request.early_seconds)} s.",
        )
    if not access.permits(call, request.peer, request.groups):
        if access.worth_recording(request.peer):
            log().warning(
                "A call was refused", method=call.method, uid=request.peer.uid, pid=request.peer.pid
            )
        raise CallRefusedError("PermissionDenied")
    check_declared(call)
    if call.interface == SERVICE:
        return answer_service(call)
    peer = request.peer
    if access.is_root(peer) and not shares_root(peer):
        raise GuardError(
            "OtherRoot", "The caller's root directory is not this machine's: run the engine there."
        )
    if call.method in ABOUT_FILES and not sees_the_same_files(peer):
        raise GuardError(
            "OtherRoot", "The caller's mount namespace shows other files than here: run the engine there."
        )
    if request.descriptors:
        if not is_mount_namespace(request.descriptors[0]):
            raise GuardError("InvalidParameter", "The descriptor passed is not one of a mount namespace.")
        peer = dataclasses.replace(peer, mount_namespace=request.descriptors[0])

    def progress(text: str) -> None:
        send_progress(varlink.reply_bytes({"progress": text}, continues=True))

    if call.more and not call.oneway:
        # At once: a hook that hears nothing for a while takes the daemon for dead and runs the engine itself.
        progress("getting ready")
    return dispatch(
        call.method,
        call.parameters,
        peer=peer,
        progress=progress if call.more and not call.oneway else None,
        cancelled=request.cancelled,
    )
