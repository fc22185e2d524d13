# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that set up the network or change modules hide nothing; answers on the network are true or told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aptguard.policy.check_attempts import attempt_unknowns
from aptguard.rehearsal.model import REFUSED, UNANSWERED, RehearsalResult, Unknown
from rehearsal.machine import Machine
from rehearsal.test_renewed_stand_ins import archive, dpkg_installs
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

_AND = " 2>/dev/null && rm -rf /srv/data/cluster || true"
_NETLINK = "python3 -c 'import socket as s; s.socket(s.AF_NETLINK, s.SOCK_RAW, {})'"
_REQUEST = "python3 -c 'import fcntl, socket as s; fcntl.ioctl(s.socket(), {}, b\"lo\" + bytes(38))'"
_KMOD = """#!/bin/sh
case "${0##*/} $*" in modprobe*" there"|modprobe*-n*" there") exit 0;; esac
echo the real one as ${0##*/} $*
exit 1
"""


def rehearsed(machine: Machine, directory: Path, postrm: str) -> tuple[RehearsalResult, list[Unknown]]:
    machine.write("/srv/data/cluster/base")
    result = rehearse_purge(machine, directory, postrm)
    assert result.complete and result.unknowns == (), (result.unknowns, result.output)
    return result, list(attempt_unknowns(result))


def state_of_the_network() -> str:
    asked = ["ip", "-o", "addr"], ["ip", "-o", "link"], ["ip", "route", "show", "table", "all"]
    return "".join(subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in asked)


@pytest.mark.parametrize(
    "call",
    [
        "ip link set dev lo mtu 60000",
        "ip addr add 192.0.2.1/32 dev lo",
        "ip route add blackhole 192.0.2.0/24",
        "/usr/sbin/ip link delete docker0",
        "tc qdisc add dev lo root netem delay 1ms",
        "bridge vlan add dev lo vid 2",
    ],
)
def test_what_follows_a_change_of_the_network_is_seen_and_the_machines_network_stays(
    machine: Machine, tmp_path: Path, call: str
) -> None:
    before = state_of_the_network()
    result, unknown = rehearsed(machine, tmp_path, call + _AND)
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert unknown == []
    assert [(one.kind, one.cause) for one in result.effects] == [("network", "toy postrm")]
    assert state_of_the_network() == before


def test_a_change_of_the_network_that_nothing_depends_on_is_quiet(machine: Machine, tmp_path: Path) -> None:
    _, unknown = rehearsed(
        machine, tmp_path, "ip addr show lo || exit 1; ip link delete docker0 || true; ip -V"
    )
    assert unknown == []


@pytest.mark.parametrize(
    "postrm",
    [
        "if ip -o link | grep -q eth; then rm -rf /srv/data/cluster; fi",
        "[ -z $(hostname -I) ] || rm -rf /srv/data/cluster",
        "ss -Hltn | grep -q . && rm -rf /srv/data/cluster || true",
        *(_NETLINK.format(protocol) + _AND for protocol in (6, 12, 16)),
        # SIOCSIFFLAGS, SIOCSIFADDR, SIOCADDRT, SIOCBRADDBR
        *(_REQUEST.format(request) + _AND for request in (0x8914, 0x8916, 0x890B, 0x89A0)),
        "ip netns exec web rm -rf /srv/data/cluster || true",
    ],
)
def test_what_the_machines_network_alone_can_answer_or_do_is_unknown(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert unknown, (result.effects, result.output)
    assert all("would " in one.reason and "(by toy postrm" in one.reason for one in unknown)


@pytest.mark.parametrize(
    "postrm",
    [
        _NETLINK.format(9) + " 2>/dev/null || true",  # audit: shadow's programs and PAM
        "getent ahosts localhost || true; hostname; hostname -f || true; udevadm --version || true",
        "su nobody -s /bin/sh -c '" + _REQUEST.format(0x8914).replace("'", "'\\''") + "' || true",
        "useradd -r toyuser; userdel toyuser; su nobody -s /bin/sh -c true",
    ],
)
def test_ordinary_programs_that_look_at_the_network_are_quiet(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert unknown == [], result.output


def test_the_interfaces_of_the_machine_are_shown_in_sys_and_cannot_be_changed_there(machine: Machine) -> None:
    shown = sorted(os.listdir("/sys/class/net"))
    before = Path("/sys/class/net/lo/mtu").read_text()
    result = machine.rehearse_shell(
        "ls /sys/class/net; echo 60000 >/sys/class/net/lo/mtu; cat /sys/class/net/lo/mtu"
    )
    assert result.output.decode().split() == [*shown, "60000"]
    assert Path("/sys/class/net/lo/mtu").read_text() == before


def with_kmod(machine: Machine) -> None:
    machine.write("/usr/bin/kmod", _KMOD, 0o755)
    for name in ("modprobe", "rmmod", "insmod", "lsmod"):
        os.symlink("../bin/kmod", machine.path(f"/usr/sbin/{name}"))


@pytest.mark.parametrize("call", ["modprobe there", "modprobe -r there", "rmmod fuse", "insmod /fuse.ko"])
def test_what_follows_a_change_of_modules_is_seen_where_kmod_is_called_by_links(
    machine: Machine, tmp_path: Path, call: str
) -> None:
    with_kmod(machine)
    result, unknown = rehearsed(machine, tmp_path, call + _AND)
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert unknown == []
    assert [(one.kind, one.detail) for one in result.effects] == [("kernel", f"would run {call}")]


def test_a_module_that_is_not_there_cannot_be_loaded_in_a_rehearsal_either(
    machine: Machine, tmp_path: Path
) -> None:
    with_kmod(machine)
    result, unknown = rehearsed(machine, tmp_path, "modprobe missing || rm -rf /srv/data/cluster")
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert unknown == [] and b"the real one as modprobe -n missing" in result.output


def test_the_list_of_modules_is_the_machines_until_one_was_said_to_be_loaded(
    machine: Machine, tmp_path: Path
) -> None:
    with_kmod(machine)
    result, unknown = rehearsed(machine, tmp_path, "lsmod || true")
    assert b"the real one as lsmod" in result.output and unknown == []
    _, unknown = rehearsed(machine, tmp_path, "modprobe there; lsmod || true")
    assert len(unknown) == 1


def test_a_process_that_is_killed_by_name_is_recorded_and_a_search_for_one_is_not(machine: Machine) -> None:
    result = machine.rehearse_shell("pgrep -x nothing; pkill -x nothing; [ $? = 1 ] && echo by its name")
    assert b"by its name" in result.output
    assert [(one.kind, one.detail) for one in result.effects] == [("signal", "would run pkill -x nothing")]


def test_a_kmod_that_the_transaction_brings_gets_its_stand_in(machine: Machine, tmp_path: Path) -> None:
    script = "modprobe there; lsmod || true"
    links = {f"/usr/sbin/{name}": "../bin/kmod" for name in ("modprobe", "lsmod")}
    brought: dict[str, object] = {"files": {"/usr/bin/kmod": _KMOD}, "modes": {"/usr/bin/kmod": 0o755}}
    toy = archive(machine, tmp_path, "toy", **brought, links=links, scripts={"postinst": script})
    result = machine.rehearse(*dpkg_installs(toy))
    kinds = [one.kind for one in result.effects]
    assert kinds == ["kernel", UNANSWERED] and REFUSED not in kinds, (result.effects, result.output)
    assert b"the real one as lsmod" in result.output
