# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface io.github.aptguard, and what a varlink service says of itself."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

from aptguard import __version__
from aptguard.daemon.varlink import SERVICE, Call

INTERFACE = "io.github.aptguard"

# https://varlink.org/Service: each service must have this interface too.
_SERVICE_DESCRIPTION = """\
# What every varlink service provides.
interface org.varlink.service

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound(interface: string)
error MethodNotFound(method: string)
error MethodNotImplemented(method: string)
error InvalidParameter(parameter: string)
error PermissionDenied()
error ExpectedMore()
"""


class CallRefusedError(Exception):
    """A call that does not get as far as the guard; ``name`` is an error of org.varlink.service."""

    def __init__(self, name: str, **parameters: str) -> None:
        super().__init__(name)
        self.name = f"{SERVICE}.{name}"
        self.parameters: dict[str, str] = parameters


@cache
def description() -> str:
    """Return the text of the shipped interface file."""
    path = os.path.join(os.path.dirname(__file__), f"{INTERFACE}.varlink")
    with open(path, encoding="utf-8") as file:
        return file.read()


@cache
def methods() -> frozenset[str]:
    """Return the names of the methods that the interface file declares."""
    return frozenset(re.findall(r"^method (\w+)\(", description(), re.MULTILINE))


def check_declared(call: Call) -> None:
    """Raise CallRefusedError when there is no such interface or method."""
    if call.interface == SERVICE:
        known = frozenset(("GetInfo", "GetInterfaceDescription"))
    elif call.interface == INTERFACE:
        known = methods()
    else:
        raise CallRefusedError("InterfaceNotFound", interface=call.interface)
    if call.method not in known:
        raise CallRefusedError("MethodNotFound", method=f"{call.interface}.{call.method}")


def answer_service(call: Call) -> dict[str, Any]:
    """Return the reply to a (declared) call of org.varlink.service; raises CallRefusedError."""
    if call.method == "GetInfo":
        return {
            "vendor": "aptguard",
            "product": "aptguard",
            "version": __version__,
            "url": "https://github.com/aptguard/aptguard",
            "interfaces": [SERVICE, INTERFACE],
        }
    asked = call.parameters.get("interface")
    if asked == INTERFACE:
        return {"description": description()}
    if asked == SERVICE:
        return {"description": _SERVICE_DESCRIPTION}
    if isinstance(asked, str):
        raise CallRefusedError("InterfaceNotFound", interface=asked)
    raise CallRefusedError("InvalidParameter", parameter="interface")
