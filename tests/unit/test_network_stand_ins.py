# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-ins for programs of the network and of the kernel's modules note and answer, run by sh."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.model import UNANSWERED, UNCLEAR
from aptguard.rehearsal.recorders import number_of_calls, read_calls, stand_in_for

_ORIGINAL = '#!/bin/sh\necho "${0##*/} $*" >>%s/ran\nexit 3\n'
_STANDS_IN = {"iptables": "xtables-nft-multi", "ip6tables-nft-restore": "xtables-nft-multi"}
_STANDS_IN |= {"arptables-nft-save": "xtables-nft-multi", "ebtables": "xtables-nft-multi"}
_STANDS_IN |= {"iptables-translate": "xtables-nft-multi", "iptables-legacy": "xtables-legacy-multi"}
_STANDS_IN |= {"ifdown": "ifup", "ifquery": "ifup", "ipset-translate": "ipset", "dnsdomainname": "hostname"}
_STANDS_IN |= dict.fromkeys(("modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod"), "kmod")

ACTS = (
    "ip link set dev lo mtu 60000",
    "ip link delete docker0",
    "ip l se eth0 up",
    "ip -4 addr add 192.0.2.1/32 dev lo",
    "ip a d 192.0.2.1/32 dev lo",
    "ip -n web link set lo up",
    "ip --family inet route replace default via 192.0.2.1",
    "ip ru add from 192.0.2.1 table 7",
    "ip route flush cache",
    "ip xfrm state flush",
    "ip netns add web",
    "tc qdisc del dev lo root",
    "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.0.2.1",
    "ifconfig lo 127.0.0.1",
    "ifconfig eth0 down",
    "route add default gw 192.0.2.1",
    "route -n del -net 192.0.2.0/24",
    "brctl addbr br0",
    "networkctl delete docker0",
    "ethtool -K eth0 tso off",
    "ethtool --set-ring eth0 rx 1",
    "wg set wg0 private-key /dev/null",
    "wg-quick down wg0",
    "nft flush ruleset",
    "nft -a 'add table inet web'",
    "nft -f /etc/nftables.conf",
    "nft -nf /etc/nftables.conf",
    "ipset -exist create web hash:ip",
    "ipset -X web",
    "iptables -t nat -A POSTROUTING -j MASQUERADE",
    "iptables -w -F",
    "iptables-legacy -P INPUT ACCEPT",
    "ip6tables-nft-restore --noflush",
    "ebtables -t filter -N web",
    "xtables-nft-multi iptables -F",
    "ifup -a",
    "ifdown --force eth0",
)
ASKS = (
    "ip link",
    "ip -o link",
    "ip -br a",
    "ip addr show eth0",
    "ip link show dev docker0",
    "ip route get 192.0.2.1",
    "ip xfrm state list",
    "ip -batch /etc/network/lines",
    "ip monitor",
    "ip l s eth0 up",  # shorter than can be told apart
    "ip token",
    "tc -s qdisc show dev eth0",
    "bridge link",
    "ifconfig",
    "ifconfig -a",
    "ifconfig eth0",
    "route -n",
    "brctl show",
    "networkctl --no-legend list",
    "ethtool eth0",
    "ethtool -i eth0",
    "wg",
    "wg show wg0",
    "nft list ruleset",
    "nft -c -f /etc/nftables.conf",
    "nft -cf /etc/nftables.conf",
    "ipset list web",
    "ipset test web 192.0.2.1",
    "iptables -S",
    "iptables --version",
    "iptables-translate -A INPUT",
    "nft --version",
    "ipset --version",
    "iptables -t nat -nvL",
    "iptables -C INPUT -j web",
    "ip6tables-nft-restore --test",
    "arptables-nft-save",
    "hostname -I",
    "hostname --all-ip-addresses",
)
TRUE_HERE = (
    "ip -V",
    "ip --Version",
    "ip help",
    "ip link help",
    "ip addr show lo",
    "ip -o link show dev lo",
    "ifconfig lo",
    "ifconfig --version",
    "route --help",
    "brctl --version",
    "networkctl --version",
    "ethtool --version",
    "wg genkey",
    "wg-quick strip wg0",
    "ipset help",
    "ipset-translate restore",
    "iptables-legacy --version",
    "ifup --no-act eth0",
    "ifquery --list",
    "hostname",
    "hostname --fqdn",
    "hostname -f",
    "hostname web1",
    "dnsdomainname",
    "kmod list",
    "lsmod",
    "modinfo fuse",
    "depmod -a",
    "modprobe -n fuse",
    "modprobe -qn fuse",
    "modprobe --show-depends fuse",
    "modprobe -c",
    "rmmod --version",
)
MODULES = ("modprobe fuse", "modprobe -r fuse", "modprobe -qr fuse", "insmod /fuse.ko", "rmmod fuse")


class Outcome:
    """What came of calls: the exit status of the last one, the effects, and what was really run."""

    def __init__(self, place: Path, *commands: str) -> None:
        for command in commands:
            name, *arguments = shlex.split(command)
            self.status = subprocess.run([_put(place, name), *arguments], check=False).returncode
        data = (place / "calls").read_bytes()
        effects, whole = read_calls(data)
        assert whole and number_of_calls(data) == len(commands)
        self.effects = [(effect.kind, effect.detail) for effect in effects]
        ran = place / "ran"
        self.ran = ran.read_text().splitlines() if ran.exists() else []


def _put(place: Path, name: str) -> str:
    """Put the stand-in of ``name`` there, the original behind it, and a link by which it is called."""
    stands_in = _STANDS_IN.get(name, name)
    text = stand_in_for(stands_in.encode()).text.replace(PRIVATE, os.fsencode(place))
    originals = place / "original"
    originals.mkdir(exist_ok=True)
    for path, content in ((place / stands_in, text), (originals / stands_in, (_ORIGINAL % place).encode())):
        path.write_bytes(content)
        path.chmod(0o755)
    if stands_in != name and not (place / name).exists():
        (place / name).symlink_to(stands_in)
        if "tables" not in name:  # these may have any name, by alternatives(8)
            (originals / name).symlink_to(stands_in)
    return str(place / name)


@pytest.mark.parametrize("command", ACTS)
def test_what_sets_up_the_network_is_recorded_and_succeeds(tmp_path: Path, command: str) -> None:
    outcome = Outcome(tmp_path, command)
    assert (outcome.status, outcome.ran) == (0, [])
    ((kind, detail),) = outcome.effects
    assert kind == "network" and detail.startswith(f"would run {command.split(maxsplit=1)[0]} ")


@pytest.mark.parametrize("command", ASKS)
def test_what_is_asked_of_the_machines_network_is_not_answered(tmp_path: Path, command: str) -> None:
    outcome = Outcome(tmp_path, command)
    assert [kind for kind, _ in outcome.effects] == [UNANSWERED]
    assert outcome.status != 0  # as the original's here, which has nothing to say


@pytest.mark.parametrize("command", TRUE_HERE)
def test_what_is_true_here_as_well_is_asked_of_the_original(tmp_path: Path, command: str) -> None:
    outcome = Outcome(tmp_path, command)
    assert outcome.effects == []
    assert outcome.status == 3 and len(outcome.ran) == 1
    assert outcome.ran[0].endswith(" ".join(command.split()[1:]))


@pytest.mark.parametrize("command", MODULES)
def test_modules_are_only_said_to_change_and_recorded(tmp_path: Path, command: str) -> None:
    outcome = Outcome(tmp_path, command)
    assert outcome.effects == [("kernel", f"would run {command}")]
    if command.startswith("modprobe"):  # which says whether there is such a module
        assert (outcome.status, outcome.ran) == (3, [command.replace("modprobe", "modprobe -n")])
    else:
        assert (outcome.status, outcome.ran) == (0, [])


def test_a_command_in_a_namespace_of_the_machines_is_not_run(tmp_path: Path) -> None:
    outcome = Outcome(tmp_path, "ip netns exec web rm -rf /srv", "ip vrf exec web true")
    assert outcome.ran == []
    assert {kind for kind, _ in outcome.effects} == {UNCLEAR}


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ("ip addr add 192.0.2.1/32 dev lo", "ip addr show dev lo"),
        ("ifconfig lo:1 192.0.2.1", "ifconfig lo"),
        ("modprobe fuse", "lsmod"),
        ("rmmod fuse", "lsmod"),
        ("insmod /fuse.ko", "kmod list"),
    ],
)
def test_a_question_after_what_was_only_said_to_be_done_has_no_answer(
    tmp_path: Path, change: str, question: str
) -> None:
    outcome = Outcome(tmp_path, change, question)
    assert (UNANSWERED, f"would run {question}") in outcome.effects
    assert outcome.ran[-1].endswith(" ".join(question.split()[1:]))
