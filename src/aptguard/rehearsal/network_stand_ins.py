# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the stand-ins for programs that set up the network, or ask for it.

A rehearsal has a network namespace of its own, with the loopback only, and nothing in it may be changed. A
call that acts succeeds and is recorded. What is asked about anything but the loopback has no answer here, nor
has a question about that one after something has acted. What is not known to act counts as a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aptguard.rehearsal.call_notes import ACTING_CALL, UNANSWERED_CALL, UNCLEAR_CALL, noted_as
from aptguard.rehearsal.devices import PRIVATE

_CHANGED: Final = PRIVATE + b"/network-changed"
# Each sets ``w``: ``acts``, ``asks``, ``asks-lo`` (the loopback only), ``runs`` (another command, in a place
# that is not there), or nothing (what is true here as well).

# ip(8), tc(8), bridge(8): words may be shortened.
_IP: Final = b"""\
    while [ $# -gt 0 ]; do
        a=$1; case "$a" in --*) a=${a#-};; esac
        case "$a" in
        -V|-Ver*|-he*) return;;
        -b|-ba*) w=asks; return;;
        -l|-lo*|-f|-fa*|-rc*|-n|-ne*|-cf|-con*) shift; [ $# -eq 0 ] || shift;;
        -*) shift;;
        *) break;;
        esac
    done
    case "$1" in
    ""|h|he|hel|help) return;;
    x*|mp*|io*|sr) shift;;
    mo*) w=asks; return;;
    esac
    case "$1 $2" in netn*" e"*|v*" e"*) w=runs; return;; esac
    case "$2" in
    he|hel|help) ;;
    a|ad|add|addr*|ap*|c|ch*|d|de*|f|fl*|pre*|r|re*|se|set|at*|al*|up*) w=acts;;
    sh|sho|show|l|li|lis|list|ls) case "$#:$3:$4" in 3:lo:|4:dev:lo) w=asks-lo;; *) w=asks;; esac;;
    *) w=asks;;
    esac
"""
_IFCONFIG: Final = b"""\
    while :; do case "$1" in -a|-s|-v) shift;; -*) return;; *) break;; esac; done
    case "$#:$1" in 0:*) w=asks;; 1:lo) w=asks-lo;; 1:*) w=asks;; *) w=acts;; esac
"""
_ROUTE: Final = b"""\
    w=asks
    for a; do case "$a" in
        add|del|delete|flush) w=acts; return;;
        -V|--version|-h|--help) w=; return;;
    esac; done
"""
_BRCTL: Final = b"""\
    case "$1" in ""|-*|help) ;; show*) w=asks;; *) w=acts;; esac
"""
_ETHTOOL: Final = b"""\
    case "$1" in
    -h|--help|--version) ;;
    -[sACGKLEfprtNUXW]|--set-*|--change*|--config-*|--pause|--coalesce|--offload|--features|--flash|\
--identify|--negotiate|--test|--reset|--rxfh*) w=acts;;
    *) w=asks;;
    esac
"""
_WG: Final = b"""\
    case "$1" in
    genkey|genpsk|pubkey|help|-h|--help|-v|--version) ;;
    set|setconf|addconf|syncconf) w=acts;;
    *) w=asks;;
    esac
"""
_WG_QUICK: Final = b"""\
    case "$1" in up|down|save) w=acts;; esac
"""
# It opens its netlink socket before it looks at its arguments, so that it cannot even tell its version here.
_NFT: Final = b"""\
    w=asks
    while [ $# -gt 0 ]; do
        case "$1" in
        --check|-c*|-[a-zA-Z]*c*) return;;
        --file|--file=*|-f*|-[a-zA-Z]*f*|-i|--interactive) w=acts;;
        -I|--includepath|-D|--define) shift;;
        -*) ;;
        add|insert|create|delete|destroy|flush|replace|rename|reset) w=acts; return;;
        add\\ *|insert\\ *|create\\ *|delete\\ *|destroy\\ *) w=acts; return;;
        flush\\ *|replace\\ *|rename\\ *|reset\\ *) w=acts; return;;
        *) return;;
        esac
        [ $# -eq 0 ] || shift
    done
"""
_IPSET: Final = b"""\
    case "${0##*/}" in *-translate) return;; esac
    w=asks
    for a; do case "$a" in
        create|add|del|destroy|restore|flush|rename|swap|-[NADXRFEW]) w=acts; return;;
        --create|--add|--del|--destroy|--restore|--flush|--rename|--swap) w=acts; return;;
        help|-h|--help) w=; return;;
        list|save|test|-[LST]|--list|--save|--test) return;;
    esac; done
"""
# iptables(8) and those for IPv6, ARP and bridges.
_TABLES: Final = b"""\
    case "$n" in
    iptables-xml) return;;
    *-translate) w=$version; return;;
    *-save|*-monitor) w=asks; return;;
    *-restore)
        w=acts
        for a; do case "$a" in
            -t|--test|-[a-z]*t) w=asks;;
            -V|--version|-h|--help) w=$version; return;;
        esac; done
        return;;
    esac
    w=asks
    for a; do case "$a" in
        -V|--version|-h|--help) w=$version; return;;
        -[ADIRFZNXPE]*|--append|--delete*|--insert|--replace|--flush) w=acts;;
        --zero|--new*|--policy|--rename*) w=acts;;
    esac; done
"""
_IFUPDOWN: Final = b"""\
    case "${0##*/}" in ifquery) return;; esac
    w=acts
    for a; do case "$a" in -n|--no-act|-V|--version|-h|--help) w=; return;; esac; done
"""
_NETWORKCTL: Final = b"""\
    w=asks
    for a; do case "$a" in
        -h|--help|--version|cat|edit|mask|unmask) w=; return;;
        up|down|delete|renew|forcerenew|reconfigure|reload) w=acts; return;;
        list|status|lldp|label) return;;
    esac; done
"""
_HOSTNAME: Final = b"""\
    for a; do case "$a" in --all-*) w=asks;; --*) ;; -*[AI]*) w=asks;; esac; done
"""
_MULTI_CALL: Final = (b"xtables-nft-multi", b"xtables-legacy-multi")
_READERS: Final[Mapping[bytes, bytes]] = {
    **dict.fromkeys((b"ip", b"tc", b"bridge"), _IP),
    b"ifconfig": _IFCONFIG,
    b"route": _ROUTE,
    b"brctl": _BRCTL,
    b"networkctl": _NETWORKCTL,
    b"ethtool": _ETHTOOL,
    b"wg": _WG,
    b"wg-quick": _WG_QUICK,
    b"nft": _NFT,
    **dict.fromkeys((b"ipset", b"ipset-translate"), _IPSET),
    **dict.fromkeys((*_MULTI_CALL, b"iptables", b"ip6tables"), _TABLES),
    **dict.fromkeys((b"ifup", b"ifdown", b"ifquery"), _IFUPDOWN),
    **dict.fromkeys(
        (b"hostname", b"domainname", b"dnsdomainname", b"nisdomainname", b"ypdomainname"), _HOSTNAME
    ),
}
# They could only fail, and would be told once more for the socket that they open.
_ONLY_FAIL: Final = frozenset(
    name for name, lines in _READERS.items() if lines in (_TABLES, _NFT, _IPSET, _WG)
)


def is_network_program(name: bytes) -> bool:
    """Whether a program called ``name`` has one of these stand-ins."""
    return name in _READERS or b"tables" in name


def network_lines(calls: bytes, caller: bytes) -> Mapping[bytes, bytes]:
    """Return for each program the lines that follow the recording of its call; ``$o`` is its original.

    ``calls`` and ``caller``: see noted_as.
    """
    asks, runs, acts = (
        noted_as(mark, calls, caller) for mark in (UNANSWERED_CALL, UNCLEAR_CALL, ACTING_CALL)
    )

    def lines(name: bytes) -> bytes:
        original = b'exec "$o" "$@"'
        first = b""
        if name in _MULTI_CALL:
            # Its links have any names (alternatives(8)), each of which it takes as its first argument too.
            first = b'n=${0##*/}; case "$n" in xtables-*-multi) n=$1; [ $# -eq 0 ] || shift;; esac\n'
            original = b'exec "$o" "$n" "$@"'
            if name == b"xtables-nft-multi":
                first += b"version=asks\n"  # as with nft
        elif _READERS[name] is _TABLES:
            first = b"n=${0##*/}\n"
        return (
            first + b"w=\nread_call() {\n" + _READERS[name] + b"}\n"
            b'read_call "$@"\n'
            b'[ "$w" != asks-lo ] || [ ! -e ' + _CHANGED + b" ] || " + asks + b"\n"
            b'case "$w" in\n'
            b"acts) " + acts + b"; : >" + _CHANGED + b"; exit 0;;\n"
            b"runs) " + runs + b"; exit 0;;\n"
            b"asks) " + asks + (b"; exit 1" if name in _ONLY_FAIL else b"") + b";;\n"
            b"esac\n" + original
        )  # fmt: skip

    return {name: lines(name) for name in _READERS}
