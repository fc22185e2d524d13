# SPDX-License-Identifier: GPL-3.0-or-later
"""The system call filter, run by a small interpreter of classic BPF."""

from __future__ import annotations

import struct

import pytest

from aptguard.rehearsal.refused_calls import ANSWERS
from aptguard.rehearsal.seccomp import filter_program, reported_calls

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
ALLOW, KILL, TOLD, PRETENDED = 0x7FFF0000, 0x80000000, 0x7FC00000, 0x00050000
EPERM, ENOSYS, ENOPROTOOPT, EPROTONOSUPPORT = (0x00050000 | number for number in (1, 38, 92, 93))
ESOCKTNOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT = (0x00050000 | number for number in (94, 95, 97))


def decision(machine: str, architecture: int, number: int, *arguments: int, **options: bool) -> int:
    """Return what the filter answers to the call."""
    words = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *words)
    program = list(struct.iter_unpack("<HBBI", filter_program(machine, **options)))
    accumulator, place = 0, 0
    while True:
        code, true, false, k = program[place]
        place += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                place += true if accumulator == k else false
            case 0x35:
                place += true if accumulator >= k else false
            case 0x45:
                place += true if accumulator & k else false
            case 0x05:
                place += k
            case 0x54:
                accumulator &= k
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@pytest.mark.parametrize(
    ("machine", "architecture", "read"),
    [("x86_64", X86_64, 0), ("x86_64", I386, 3), ("aarch64", AARCH64, 63)],
)
def test_ordinary_calls_pass(machine: str, architecture: int, read: int) -> None:
    assert decision(machine, architecture, read) == ALLOW
    assert decision(machine, architecture, 9999) == ALLOW


@pytest.mark.parametrize(
    ("machine", "architecture", "number"),
    [
        ("x86_64", X86_64, 165),  # mount
        ("x86_64", X86_64, 308),  # setns
        ("x86_64", X86_64, 250),  # keyctl
        ("x86_64", X86_64, 304),  # open_by_handle_at
        ("x86_64", X86_64, 101),  # ptrace
        ("x86_64", I386, 21),  # mount
        ("x86_64", I386, 26),  # ptrace
        ("x86_64", I386, 22),  # umount
        ("aarch64", AARCH64, 40),  # mount
        ("aarch64", AARCH64, 117),  # ptrace
    ],
)
def test_calls_on_the_list_are_refused(machine: str, architecture: int, number: int) -> None:
    assert decision(machine, architecture, number) == EPERM


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", ARM), ("aarch64", ARM), ("aarch64", X86_64)]
)
def test_an_architecture_without_a_table_runs_nothing(machine: str, architecture: int) -> None:
    assert decision(machine, architecture, 0) == KILL


def test_the_x32_numbers_do_not_lead_around_the_list() -> None:
    assert decision("x86_64", X86_64, 0x40000000 | 165) == ENOSYS


@pytest.mark.parametrize(
    ("machine", "architecture", "clone"),
    [("x86_64", X86_64, 56), ("x86_64", I386, 120), ("aarch64", AARCH64, 220)],
)
def test_a_process_may_be_made_but_no_namespace(machine: str, architecture: int, clone: int) -> None:
    assert decision(machine, architecture, clone, 0x01200011) == ALLOW
    for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x02000000):
        assert decision(machine, architecture, clone, flag | 17) == EPERM
    assert decision(machine, architecture, 435) == ENOSYS


STREAM, DATAGRAM, RAW = 1, 2, 3


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "expected"),
    [
        (1, STREAM, 0, ALLOW),
        (1, 5, 0, ALLOW),
        (2, STREAM, 0, ALLOW),
        (2, STREAM | 0o2004000, 6, ALLOW),
        (2, DATAGRAM, 17, ALLOW),
        (2, DATAGRAM, 1, ALLOW),
        (10, STREAM, 0, ALLOW),
        (10, DATAGRAM, 58, ALLOW),
        (16, RAW, 0, ALLOW),
        (16, RAW, 15, ALLOW),
        (0, STREAM, 0, EAFNOSUPPORT),
        (2, STREAM, 132, EPROTONOSUPPORT),
        (2, STREAM, 17, EPROTONOSUPPORT),
        (2, DATAGRAM, 6, EPROTONOSUPPORT),
        (10, STREAM, 33, EPROTONOSUPPORT),
        (2, RAW, 1, EPERM),
        (10, RAW, 0, EPERM),
        (2, 5, 0, ESOCKTNOSUPPORT),
        (2, 10, 0, ESOCKTNOSUPPORT),  # SOCK_PACKET: the kernel takes it for AF_PACKET
        (10, 6 | 0o2000000, 0, ESOCKTNOSUPPORT),
        (16, RAW, 7, EPROTONOSUPPORT),
        (16, RAW, 9, EPROTONOSUPPORT),
        (16, RAW, 16, EPROTONOSUPPORT),
        (16, RAW, 21, EPROTONOSUPPORT),
        (17, RAW, 0, EAFNOSUPPORT),
        (38, 5, 0, EAFNOSUPPORT),
        (40, STREAM, 0, EAFNOSUPPORT),
    ],
)
def test_only_sockets_are_made_that_load_no_module_and_belong_to_the_own_network_namespace(
    family: int, kind: int, protocol: int, expected: int
) -> None:
    for machine, architecture, number in SOCKET:
        assert decision(machine, architecture, number, family, kind, protocol) == expected
        # the upper half of the register is not the kernel's business, so it must not be a way around
        assert decision(machine, architecture, number, family | 1 << 32, kind, protocol) == expected


SOCKET = [("x86_64", X86_64, 41), ("x86_64", I386, 359), ("aarch64", AARCH64, 198)]


def test_where_the_kernel_has_no_ipv6_its_sockets_do_not_make_it_look_for_the_module() -> None:
    for machine, architecture, number in SOCKET:
        assert decision(machine, architecture, number, 10, STREAM, 0, ipv6=False) == EAFNOSUPPORT
        assert decision(machine, architecture, number, 2, STREAM, 0, ipv6=False) == ALLOW


@pytest.mark.parametrize(
    ("machine", "architecture", "pair", "option"),
    [("x86_64", X86_64, 53, 54), ("x86_64", I386, 360, 366), ("aarch64", AARCH64, 199, 208)],
)
def test_neither_a_pair_of_sockets_nor_a_key_of_a_connection_loads_a_module(
    machine: str, architecture: int, pair: int, option: int
) -> None:
    assert decision(machine, architecture, pair, 1, STREAM, 0) == ALLOW
    for family in (0, 2, 30, 38, 40):
        assert decision(machine, architecture, pair, family, STREAM, 0) == EOPNOTSUPP
    for name in (14, 32, 38):
        assert decision(machine, architecture, option, 3, 6, name) == ENOPROTOOPT
        assert decision(machine, architecture, option, 3, 1, name) == ALLOW
    assert decision(machine, architecture, option, 3, 6, 1) == ALLOW


@pytest.mark.parametrize(
    ("machine", "architecture", "ioctl"),
    [("x86_64", X86_64, 16), ("x86_64", I386, 54), ("aarch64", AARCH64, 29)],
)
def test_no_request_on_a_socket_loads_a_module(machine: str, architecture: int, ioctl: int) -> None:
    bridges, networks, relays = (0x8940, 0x8941, 0x89A0, 0x89A1), (0x8982, 0x8983), (0x8980, 0x8981)
    for request in (*bridges, *networks, *relays):
        assert decision(machine, architecture, ioctl, 3, request) == EPERM
        assert decision(machine, architecture, ioctl, 3, request | 1 << 32) == EPERM
    for request in (0x8910, 0x8912, 0x8913, 0x8915, 0x8927, 0x5421):  # ask for names, addresses, flags
        assert decision(machine, architecture, ioctl, 3, request) == ALLOW


def test_input_cannot_be_pushed_into_a_terminal() -> None:
    assert decision("x86_64", X86_64, 16, 0, 0x5401) == ALLOW
    assert decision("x86_64", X86_64, 16, 0, 0x5412) == EPERM
    assert decision("x86_64", X86_64, 16, 0, 0x5423) == EPERM
    assert decision("x86_64", X86_64, 16, 0, 0x5412 | 1 << 32) == EPERM
    assert decision("x86_64", I386, 102, 1) == EAFNOSUPPORT
    assert decision("x86_64", I386, 102, 8) == EOPNOTSUPP
    assert decision("x86_64", I386, 102, 14) == ENOPROTOOPT
    assert decision("x86_64", I386, 102, 3) == ALLOW


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        filter_program("riscv64")


@pytest.mark.parametrize(
    ("machine", "architecture", "setrlimit", "prlimit"),
    [("x86_64", X86_64, 160, 302), ("x86_64", I386, 75, 340), ("aarch64", AARCH64, 164, 261)],
)
def test_the_limit_of_core_dumps_is_only_said_to_change(
    machine: str, architecture: int, setrlimit: int, prlimit: int
) -> None:
    core, open_files = 4, 7
    assert decision(machine, architecture, setrlimit, core, 0x1000) == PRETENDED
    assert decision(machine, architecture, setrlimit, open_files, 0x1000) == ALLOW
    assert decision(machine, architecture, prlimit, 0, core, 0x1000) == PRETENDED
    assert decision(machine, architecture, prlimit, 0, core, 0x1000 << 32) == PRETENDED
    assert decision(machine, architecture, prlimit, 0, core, 0, 0x1000) == ALLOW
    assert decision(machine, architecture, prlimit, 0, open_files, 0x1000) == ALLOW


MACHINES = [("x86_64", X86_64), ("x86_64", I386), ("aarch64", AARCH64)]


def numbers(machine: str, architecture: int) -> dict[str, int]:
    """Return the numbers of the calls that are handed on, by name."""
    return {name: call[1] for call, name in reported_calls(machine).items() if call[0] == architecture}


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_what_is_handed_on_has_an_answer_and_is_no_more_allowed_without_a_listener(
    machine: str, architecture: int
) -> None:
    """With arguments that ask for everything; connections and limits are the kernel's own business."""
    known = numbers(machine, architecture)
    names = {"sethostname", "setdomainname"}
    asks = {"ioctl": (3, 0xC0045877), "mknod": (1, 0o20666, 0x103), "mknodat": (0, 1, 0o60600, 0x800)}
    asks["socket"] = (16, RAW, 12)
    refused_as = {"fsopen": ENOSYS, "open_tree": ENOSYS, "socket": EPROTONOSUPPORT}
    assert {"mount", "setns", "connect", "clone", "unshare", "ptrace"} <= set(known)
    for name, number in known.items():
        arguments = asks.get(name, (0x12020000, 1, 1, 0, 0, 0))
        with_listener = decision(machine, architecture, number, *arguments, listened=True)
        without = decision(machine, architecture, number, *arguments)
        assert with_listener == TOLD, name
        if name in {"connect", "setrlimit", "prlimit64", "adjtimex", "clock_adjtime", "clock_adjtime64"}:
            assert without == ALLOW  # the kernel refuses what needs a capability
        elif name in names:
            assert without == PRETENDED
        else:
            assert name in ANSWERS
            assert without == refused_as.get(name, EPERM), name


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
@pytest.mark.parametrize("listened", [False, True])
def test_namespaces_but_those_of_users_are_only_said_to_be_new(
    machine: str, architecture: int, listened: bool
) -> None:
    number = numbers(machine, architecture)["unshare"]
    for flags in (0x00020000, 0x40000000, 0x20000000, 0x02000000, 0x80, 0x00020200):
        assert decision(machine, architecture, number, flags, listened=listened) == PRETENDED
    assert decision(machine, architecture, number, 0x600, listened=listened) == ALLOW  # files, directory
    users = decision(machine, architecture, number, 0x10020000, listened=listened)
    assert users == (TOLD if listened else EPERM)


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_a_mount_is_never_done_and_only_how_it_would_spread_is_said_to_be(
    machine: str, architecture: int
) -> None:
    number = numbers(machine, architecture)["mount"]
    private, bind, magic = 0x44000, 0x1000, 0xC0ED0000
    for listened, refused in ((True, TOLD), (False, EPERM)):
        for flags, expected in ((private, PRETENDED), (bind, refused), (0, refused), (magic, refused)):
            assert decision(machine, architecture, number, 1, 1, 1, flags, listened=listened) == expected


@pytest.mark.parametrize(
    ("machine", "architecture", "calls"),
    [
        ("x86_64", X86_64, (141, 144, 251, 314)),
        ("x86_64", I386, (97, 156, 289, 351)),
        ("aarch64", AARCH64, (140, 119, 30, 274)),
    ],
)
def test_a_better_place_is_only_said_to_be_given_and_a_worse_one_is_really(
    machine: str, architecture: int, calls: tuple[int, ...]
) -> None:
    nice, scheduler, disks, attributes = calls
    for value, expected in ((-5, PRETENDED), (0, PRETENDED), (10, ALLOW)):
        assert decision(machine, architecture, nice, 0, 0, value) == expected
    for policy, expected in ((1, PRETENDED), (0x40000002, PRETENDED), (0, ALLOW), (3, ALLOW), (5, ALLOW)):
        assert decision(machine, architecture, scheduler, 0, policy) == expected
    for kind, expected in ((1, PRETENDED), (2, ALLOW), (3, ALLOW)):
        assert decision(machine, architecture, disks, 1, 0, kind << 13 | 4) == expected
    assert decision(machine, architecture, attributes, 0, 0x1000) == PRETENDED


@pytest.mark.parametrize(
    ("machine", "architecture", "calls"),
    [
        ("x86_64", X86_64, (250, 103, (149, 325, 151, 153, 256))),
        ("x86_64", I386, (288, 103, (150, 376, 152, 111, 294))),
        ("aarch64", AARCH64, (219, 116, (228, 284, 230, 58, 238))),
    ],
)
def test_what_no_file_shows_is_only_said_to_be_done(
    machine: str, architecture: int, calls: tuple[int, int, tuple[int, ...]]
) -> None:
    keys, log, others = calls
    for operation, expected in ((1, PRETENDED), (0, EPERM), (3, EPERM), (10, EPERM)):
        assert decision(machine, architecture, keys, operation) == expected
    for action, expected in ((3, EPERM), (4, EPERM), (10, EPERM), (5, PRETENDED), (8, PRETENDED)):
        assert decision(machine, architecture, log, action) == expected
    for number in others:
        assert decision(machine, architecture, number, 1, 1) == PRETENDED


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_only_nodes_of_devices_are_handed_on(machine: str, architecture: int) -> None:
    known = numbers(machine, architecture)
    for name, before in (("mknod", (1,)), ("mknodat", (0, 1))):
        for mode, expected in (
            (0o20600, TOLD),
            (0o60600, TOLD),
            (0o100644, ALLOW),
            (0o10644, ALLOW),
            (0, ALLOW),
        ):
            if name in known:
                assert decision(machine, architecture, known[name], *before, mode, listened=True) == expected
    assert decision(machine, architecture, known["ioctl"], 3, 0x5401, listened=True) == ALLOW
    assert decision(machine, architecture, known["ioctl"], 3, 0xC0185879) == PRETENDED  # fstrim(8)


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_what_would_set_up_the_network_is_handed_on_and_what_ordinary_programs_open_is_not(
    machine: str, architecture: int
) -> None:
    known = numbers(machine, architecture)
    for protocol in (4, 6, 12, 16):
        arguments = (16, RAW | 0o2000000, protocol)
        assert decision(machine, architecture, known["socket"], *arguments, listened=True) == TOLD
        assert decision(machine, architecture, known["socket"], *arguments) == EPROTONOSUPPORT
        assert decision(machine, architecture, known["socket"], 2, STREAM, protocol, listened=True) != TOLD
    for protocol, expected in ((0, ALLOW), (15, ALLOW), (9, EPROTONOSUPPORT), (7, EPROTONOSUPPORT)):
        assert decision(machine, architecture, known["socket"], 16, RAW, protocol, listened=True) == expected
    for request in (0x890B, 0x8914, 0x8916, 0x8922, 0x8936, 0x8955, 0x8983, 0x89A0, 0x89A3, 0x89F3):
        assert decision(machine, architecture, known["ioctl"], 3, request, listened=True) == TOLD
        assert decision(machine, architecture, known["ioctl"], 3, request) == EPERM
    for request in (0x8912, 0x8913, 0x8915, 0x8946):
        assert decision(machine, architecture, known["ioctl"], 3, request, listened=True) == ALLOW
