# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recorded calls of services and devices mean."""

from __future__ import annotations

import pytest

from aptguard.rehearsal import recorders
from aptguard.rehearsal.model import REFUSED, UNANSWERED, UNCLEAR, Effect


def read_calls(data: bytes) -> tuple[Effect, ...]:
    return recorders.read_calls(data)[0]


def record(*words: bytes) -> bytes:
    return b"%d\0" % len(words) + b"".join(word + b"\0" for word in words)


@pytest.mark.parametrize(
    ("call", "effect"),
    [
        ((b"systemctl", b"--quiet", b"stop", b"ssh.service"), Effect("service", "would stop ssh.service")),
        ((b"invoke-rc.d", b"ssh", b"stop"), Effect("service", "would stop ssh.service")),
        ((b"service", b"ssh", b"restart"), Effect("service", "would restart ssh.service")),
        ((b"deb-systemd-invoke", b"stop", b"a.service"), Effect("service", "would stop a.service")),
        ((b"systemctl", b"-s", b"HUP", b"kill", b"x"), Effect("service", "would kill x")),
        ((b"systemctl", b"-qs", b"HUP", b"kill", b"x"), Effect("service", "would kill x")),
        ((b"systemctl", b"-sHUP", b"kill", b"--", b"x"), Effect("service", "would kill x")),
        ((b"systemctl", b"enable", b"--now", b"x.service"), Effect("service", "would start x.service")),
        ((b"systemctl", b"--now", b"mask", b"x"), Effect("service", "would stop x")),
        ((b"update-initramfs", b"-u"), Effect("boot", "would run update-initramfs -u")),
        ((b"reboot",), Effect("service", "would run reboot")),
        ((b"sysctl", b"-w", b"vm.x=1"), Effect("kernel", "would run sysctl -w vm.x=1")),
        ((b"sysctl", b"-qp", b"f"), Effect("kernel", "would run sysctl -qp f")),
        (
            (b"start-stop-daemon", b"-S", b"-x", b"/xd", b"--", b"-t"),
            Effect("service", "would run start-stop-daemon -S -x /xd -- -t"),
        ),
        (
            (b"start-stop-daemon", b"--stop", b"--signal", b"10", b"-x", b"/xd"),
            Effect("service", "would run start-stop-daemon --stop --signal 10 -x /xd"),
        ),
        ((b"umount", b"/srv"), Effect(UNCLEAR, "would run umount /srv", path=b"/srv")),
        ((b"mount", b"/srv"), Effect(UNCLEAR, "would run mount /srv", path=b"/srv")),
        ((b"umount-of", b"/srv"), Effect(UNCLEAR, "would run umount /srv", path=b"/srv")),
        ((b"nsenter", b"-t", b"1", b"-m", b"x"), Effect(REFUSED, "would run nsenter -t 1 -m x")),
        ((b"choom", b"-n", b"-5", b"x"), Effect(REFUSED, "would run choom -n -5 x")),
    ],
)
def test_a_call_that_acts_is_an_effect(call: tuple[bytes, ...], effect: Effect) -> None:
    assert read_calls(record(*call)) == (effect,)


@pytest.mark.parametrize(
    "call",
    [
        (b"systemctl", b"is-active", b"x"),
        (b"service", b"x", b"status"),
        (b"invoke-rc.d", b"--quiet", b"x", b"status"),
        (b"mount", b"-l"),
        (b"systemctl", b"daemon-reload"),
        (b"systemctl", b"enable", b"x"),
        (b"systemctl", b"mask", b"srv-data.mount"),
        (b"systemctl", b"--type", b"mount"),
        (b"systemctl", b"-t", b"mount", b"--state", b"failed"),
        (b"systemd-cat", b"-t", b"toy", b"-p", b"info"),
        (b"systemd-cat", b"rm", b"-rf", b"/srv"),
        (b"systemctl",),
        (b"mount",),
        (b"sysctl", b"-n", b"vm.x"),
        (b"sysctl", b"--pattern=vm", b"-a"),
        (b"sysctl", b"--dry-run", b"-w", b"vm.x=1"),
        (b"runlevel",),
        (b"=", b"systemctl", b"stop", b"x.service"),
        (b"start-stop-daemon", b"--stop", b"--signal", b"0", b"--exec", b"/usr/sbin/xd"),
        (b"start-stop-daemon", b"--stop", b"--signal=0", b"--exec", b"/usr/sbin/xd"),
        (b"start-stop-daemon", b"-K", b"-s0", b"-x", b"/usr/sbin/xd"),
        (b"start-stop-daemon", b"--start", b"--test", b"--exec", b"/usr/sbin/xd"),
        (b"start-stop-daemon", b"-T", b"-x", b"/usr/sbin/xd"),
        (b"udevadm", b"info", b"/sys"),
        (b"nsenter", b"-t", b"1", b"-m", b"/bin/true"),
        (b"nsenter", b"--help"),
        (b"choom", b"-p", b"1"),
        (b"systemd-inhibit", b"--list"),
        (b"systemd-run", b"--version"),
    ],
)
def test_a_call_that_only_asks_is_none(call: tuple[bytes, ...]) -> None:
    assert read_calls(record(*call)) == ()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ((b"?", b"systemctl", b"list-jobs"), UNANSWERED),
        ((b"!", b"systemd-run", b"-M", b"x", b"true"), UNCLEAR),
        ((b"systemctl", b"start", b"srv-disk.mount"), UNCLEAR),
        ((b"systemctl", b"stop", b"a.service", b"dev-vda2.swap"), UNCLEAR),
        ((b"deb-systemd-invoke", b"restart", b"srv.automount"), UNCLEAR),
        ((b"systemctl", b"enable", b"--now", b"srv-disk.mount"), UNCLEAR),
        ((b"systemctl", b"enable", b"--now", b"/etc/systemd/srv-disk.mount"), UNCLEAR),
        ((b"systemctl", b"disable", b"--now", b"srv-disk.mount"), UNCLEAR),
        ((b"systemctl", b"mask", b"--now", b"srv-disk.automount"), UNCLEAR),
        ((b"systemctl", b"start", b"/srv/disk"), UNCLEAR),
        ((b"systemctl", b"stop", b"/"), UNCLEAR),
        ((b"deb-systemd-invoke", b"stop", b"/srv/disk"), UNCLEAR),
        ((b"systemctl", b"start", b"/dev/vda2", b"/proc/fs/nfsd/"), "service"),
        ((b"systemctl", b"start", b"proc-fs-nfsd.mount", b"run-rpc_pipefs.mount"), "service"),
        ((b"systemctl", b"reset-failed", b"srv-disk.mount"), "service"),
    ],
)
def test_a_call_whose_answer_or_success_is_the_machines_alone_decides(
    call: tuple[bytes, ...], kind: str
) -> None:
    (effect,) = read_calls(record(b"@toy prerm\t/", *call))
    assert (effect.kind, effect.cause) == (kind, "toy prerm")


def test_a_call_made_twice_is_told_once_and_order_is_kept() -> None:
    stop, start = (b"systemctl", b"stop", b"a"), (b"systemctl", b"start", b"a")
    found = read_calls(record(*stop) + record(*start) + record(*stop))
    assert [effect.detail for effect in found] == ["would stop a", "would start a"]


@pytest.mark.parametrize("data", [b"", b"\0", b"x\0y\0", b"999999999\0a\0", b"-1\0a\0", b"3\0a\0"])
def test_a_broken_record_raises_nothing(data: bytes) -> None:
    assert isinstance(read_calls(data), tuple)


def test_arguments_cannot_forge_a_line() -> None:
    (effect,) = read_calls(record(b"service", b"a\nb\x1b[31m", b"stop"))
    assert "\n" not in effect.detail
    assert "\x1b" not in effect.detail


def test_a_client_of_a_server_is_told_with_its_words_and_a_device_only_when_it_is_made() -> None:
    data = record(b"psql", b"-c", b"DROP DATABASE x") + record(b"mknod", b"pipe", b"p")
    data += record(b"mknod", b"disk", b"b", b"8", b"0")
    assert [(one.kind, one.detail) for one in read_calls(data)] == [
        ("database", "would run psql -c DROP DATABASE x"),
        ("device", "would run mknod disk b 8 0"),
    ]


def test_a_call_is_told_with_the_package_and_the_script_that_made_it() -> None:
    stop = (b"systemctl", b"stop", b"a")
    calls = record(b"@toy prerm", *stop) + record(b"@other postinst", *stop) + record(b"@ ", b"reboot")
    assert [(one.detail, one.cause) for one in read_calls(calls)] == [
        ("would stop a", "toy prerm"),
        ("would stop a", "other postinst"),
        ("would run reboot", None),
    ]
    assert read_calls(record(b"@toy prerm")) == ()


def test_what_is_recorded_beside_a_call_is_no_further_call() -> None:
    call = record(b"deb-systemd-invoke", b"stop", b"x.service")
    beside = record(b"=", b"systemctl", b"stop", b"x.service") + record(b"?", b"sysctl", b"-a")
    assert recorders.number_of_calls(call + beside) == recorders.number_of_calls(call) == 1
