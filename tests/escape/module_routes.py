# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes by which a script would have the machine's kernel load a module: modprobe runs outside of everything."""

# ruff: noqa: E501 - the programs are kept as they run

from __future__ import annotations

from escape import witnesses
from escape.routes import Route

_MODULES = witnesses.the_module_loader
_NO_MODULES = "" if witnesses.HAS_MODULES else "this kernel has no modules"

WITNESSED = (
    Route(
        "have a module loaded by a request on a socket",
        "s = socket.socket(socket.AF_UNIX)\n"
        "for request in (0x8940, 0x8941, 0x89a0, 0x89a1, 0x8982, 0x8983, 0x8980, 0x8981):\n"
        "    try: fcntl.ioctl(s, request, bytearray(256))\n"
        "    except OSError: pass",
        _NO_MODULES,
        witness=_MODULES,
    ),
    Route(
        "have a module loaded by an odd type of socket",
        "for family in (socket.AF_INET, socket.AF_INET6):\n"
        "    for kind, protocol in ((5, 0), (5, 6), (4, 0), (1, 17), (2, 6), (3, 0), (10, 0)):\n"
        "        try: socket.socket(family, kind, protocol)\n"
        "        except OSError: pass",
        _NO_MODULES,
        witness=_MODULES,
    ),
    Route(
        "have a module loaded by a socket of no family",
        "socket.socket(0, socket.SOCK_STREAM)",
        _NO_MODULES,
        witness=_MODULES,
    ),
    Route(
        "have a module loaded by a pair of sockets",
        "for family in (9, 21, 23, 30, 37, 38, 40):\n"
        "    try: socket.socketpair(family, socket.SOCK_SEQPACKET)\n"
        "    except OSError: pass",
        _NO_MODULES,
        witness=_MODULES,
    ),
    Route(
        "have a module loaded by the key of a connection",
        "s = socket.socket(socket.AF_INET)\n"
        # struct tcp_ao_add: address, name of the algorithm, interface, flags, prefix, ids, lengths, key
        "key = struct.pack('=HH4s120x', 2, 0, b'\\x7f\\0\\0\\1') + b'aptguard-none'.ljust(64, b'\\0')\n"
        "key += struct.pack('=iIHBBBBBB80s', 0, 0, 0, 32, 1, 1, 0, 0, 16, b'k' * 16)\n"
        "s.setsockopt(6, 38, key)",
        "only kernels from 6.7 on have it, and only some are built with it",
        witness=_MODULES,
    ),
)

ANSWERED = (
    Route(
        "ask a socket for bridges and virtual networks",
        "s, ok = socket.socket(socket.AF_UNIX), False\n"
        "for request in (0x8940, 0x8941, 0x89a0, 0x89a1, 0x8982, 0x8983):\n"
        "    try: fcntl.ioctl(s, request, bytearray(256)); ok = True\n"
        "    except OSError as error: ok = ok or error.errno != EPERM\n"
        "answer(ok)",
    ),
    Route(
        "a netlink socket of the security module",
        "answer(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 7).fileno() >= 0)",
        "the kernel that runs the tests may be built without it",
    ),
    Route(
        "load a module by a rare protocol",
        "try: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)\nexcept OSError as error: answer(error.errno != 93)",
        "this kernel may have no modules",
    ),
    Route(
        "load a module by a netlink family",
        "answer(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16).fileno() >= 0)",
    ),
)
