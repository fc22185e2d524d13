# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the host is set in a namespace of the rehearsal's own, or not at all."""

from __future__ import annotations

import ctypes
import os

import pytest

from aptguard.rehearsal.caller import Caller
from aptguard.rehearsal.host_names import HostNames
from aptguard.rehearsal.model import REFUSED

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize("call", ["sethostname", "setdomainname"])
@pytest.mark.parametrize("init", [os.getpid(), 1 << 30], ids=["the machine's namespace", "no process"])
def test_without_a_namespace_of_its_own_a_name_is_refused_and_told(call: str, init: int) -> None:
    # The names that the machine has: should they be set after all, nothing is changed.
    name = (os.uname().nodename if call == "sethostname" else _domain()).encode()
    buffer = ctypes.create_string_buffer(name)
    caller = Caller(os.getpid(), 0)
    answer = HostNames(init).answer(call, caller, (ctypes.addressof(buffer), len(name)))
    assert answer.kind == REFUSED
    assert answer.tells is not None and name.decode() in answer.tells


def _domain() -> str:
    with open("/proc/sys/kernel/domainname", encoding="utf-8") as file:
        return file.read().strip()
