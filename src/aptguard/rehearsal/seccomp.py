# SPDX-License-Identifier: GPL-3.0-or-later
"""The system call filter of a rehearsal, as a classic BPF program made here; pure.

Everything is allowed but a list: an allow-list would stop honest scripts at the first new call of a new C
library. What is refused has no part in what a maintainer script does to files. An architecture that is not
in the table runs no call at all. Sources: seccomp(2), linux/filter.h, linux/seccomp.h, linux/audit.h.
"""

from __future__ import annotations

import struct
from functools import cache

# Numbers on x86_64, i386 and aarch64, from the kernel's asm/unistd.h; None: not there.
_REFUSED: dict[str, tuple[int | None, int | None, int | None]] = {
    # The kernel's keyrings belong to no namespace.
    "add_key": (248, 286, 217),
    "keyctl": (250, 288, 219),
    "request_key": (249, 287, 218),
    # Mounts and namespaces: what is covered must stay covered.
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fsopen": (430, 430, 430),
    "fspick": (433, 433, 433),
    "mount": (165, 21, 40),
    "mount_setattr": (442, 442, 442),
    "move_mount": (429, 429, 429),
    "open_tree": (428, 428, 428),
    "open_tree_attr": (467, 467, 467),
    "pivot_root": (155, 217, 41),
    "setns": (308, 346, 268),
    "umount": (None, 22, None),
    "umount2": (166, 52, 39),
    "unshare": (272, 310, 97),
    # Memory and descriptors of other processes.
    "kcmp": (312, 349, 272),
    "pidfd_getfd": (438, 438, 438),
    "process_madvise": (440, 440, 440),
    "process_vm_readv": (310, 347, 270),
    "process_vm_writev": (311, 348, 271),
    "ptrace": (101, 26, 117),
    # The kernel of the whole machine.
    "acct": (163, 51, 89),
    "bpf": (321, 357, 280),
    "delete_module": (176, 129, 106),
    "finit_module": (313, 350, 273),
    "init_module": (175, 128, 105),
    "ioperm": (173, 101, None),
    "iopl": (172, 110, None),
    "kexec_file_load": (320, None, 294),
    "kexec_load": (246, 283, 104),
    "lookup_dcookie": (212, 253, 18),
    "perf_event_open": (298, 336, 241),
    "quotactl": (179, 131, 60),
    "quotactl_fd": (443, 443, 443),
    "reboot": (169, 88, 142),
    "swapoff": (168, 115, 225),
    "swapon": (167, 87, 224),
    "syslog": (103, 103, 116),
    "userfaultfd": (323, 374, 282),
    "vhangup": (153, 111, 58),
    # Files by handle: they would lie behind the overlay.
    "fanotify_init": (300, 338, 262),
    "fanotify_mark": (301, 339, 263),
    "open_by_handle_at": (304, 342, 265),
    # The clock of the machine.
    "adjtimex": (159, 124, 171),
    "clock_adjtime": (305, 343, 266),
    "clock_adjtime64": (None, 405, None),
    "clock_settime": (227, 264, 112),
    "clock_settime64": (None, 404, None),
    "settimeofday": (164, 79, 170),
    "stime": (None, 25, None),
    # Placement of other processes' memory.
    "migrate_pages": (256, 294, 238),
    "move_pages": (279, 317, 239),
}
# Refused as "not implemented", for which callers have another way. clone3 hides its flags behind a pointer
# that a filter cannot read; the C library then calls clone.
_NOT_IMPLEMENTED: dict[str, tuple[int | None, int | None, int | None]] = {
    "clone3": (435, 435, 435),
    "io_uring_setup": (425, 425, 425),
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
}
_CLONE = (56, 120, 220)
_SOCKET = (41, 359, 198)
_SOCKETCALL = (None, 102, None)
_IOCTL = (16, 54, 29)
_SETRLIMIT = (160, 75, 164)
_PRLIMIT64 = (302, 340, 261)

_COLUMNS = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "i386": 1, "aarch64": 2}

_NEW_NAMESPACES = 0x7E020000  # all CLONE_NEW flags that clone(2) takes
# TIOCSTI, TIOCLINUX push input; TIOCSETD loads the module of a line discipline (asm/ioctls.h).
_TERMINAL_REQUESTS = (0x5412, 0x541C, 0x5423)
_FAMILIES = (0, 1)  # AF_UNSPEC UNIX: like those below bound to the network namespace
# A protocol that the kernel does not know makes it load a module, on the machine. By family (sys/socket.h):
# INET, INET6: any, ICMP, TCP, UDP, ICMPv6, raw. NETLINK: route, SELinux, uevents; others also load
# modules, for a name in a message, and do nothing without CAP_NET_ADMIN.
_PROTOCOLS = {2: (0, 1, 6, 17, 255), 10: (0, 6, 17, 58, 255), 16: (0, 7, 15)}
_RLIMIT_CORE = 4
_X32 = 0x40000000

_NO_ERROR, _EPERM, _ENOSYS, _EPROTONOSUPPORT, _EAFNOSUPPORT = 0, 1, 38, 93, 97
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
# linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|{JEQ,JGE,JSET}|BPF_K, BPF_RET|BPF_K
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]


@cache
def filter_program(machine: str) -> bytes:
    """Return the BPF program for ``machine`` (uname's name), 8 bytes an instruction, little endian.

    Raises ValueError for a machine whose system call numbers are not known here.
    """
    architectures = _COLUMNS.get(machine)
    if architectures is None:
        raise ValueError(f"there is no table of system calls for {machine}, so nothing can be confined on it")
    program: list[Instruction] = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for architecture in architectures:
        section = _section(architecture)
        # Conditional jumps reach 255 instructions, a plain jump any: hence the pair.
        program.append((_EQUAL, 1, 0, _AUDIT_ARCH[architecture]))
        program.append((0x05, 0, 0, len(section)))
        program.extend(section)
    program.append((_RETURN, 0, 0, _KILL_PROCESS))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _section(architecture: str) -> list[Instruction]:
    """Return the part for one architecture; it never runs past its own end."""
    column = _COLUMN[architecture]
    section: list[Instruction] = [(_LOAD, 0, 0, _NUMBER)]
    if architecture == "x86_64":
        section += _when(_AT_LEAST, _X32, [_refuse(_ENOSYS)])
    for table, error in ((_REFUSED, _EPERM), (_NOT_IMPLEMENTED, _ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                section += _when(_EQUAL, number, [_refuse(error)])
    section += _when_call(
        _CLONE[column], [_argument(0), *_when(_ANY_BIT, _NEW_NAMESPACES, [_refuse(_EPERM)])]
    )
    terminal = [_argument(1)]
    for request in _TERMINAL_REQUESTS:
        terminal += _when(_EQUAL, request, [_refuse(_EPERM)])
    section += _when_call(_IOCTL[column], terminal)
    section += _when_call(_SOCKET[column], _socket())
    # The limit of core dumps stays what it is; scripts that set it are told that it was done.
    keep = _when(_EQUAL, _RLIMIT_CORE, [_refuse(_NO_ERROR)])
    section += _when_call(_SETRLIMIT[column], [_argument(0), *keep])
    section += _when_call(_PRLIMIT64[column], [_argument(1), *_when(_EQUAL, _RLIMIT_CORE, _if_new_limit())])
    # socketcall(2) hides the family behind a pointer; 1 is SYS_SOCKET.
    section += _when_call(_SOCKETCALL[column], [_argument(0), *_when(_EQUAL, 1, [_refuse(_EAFNOSUPPORT)])])
    section.append((_RETURN, 0, 0, _ALLOW))
    return section


def _socket() -> list[Instruction]:
    part = [_argument(0)]
    for family, protocols in _PROTOCOLS.items():
        known = [_argument(2)]
        for protocol in protocols:
            known += _when(_EQUAL, protocol, [(_RETURN, 0, 0, _ALLOW)])
        part += _when(_EQUAL, family, [*known, _refuse(_EPROTONOSUPPORT)])
    for family in _FAMILIES:
        part += _when(_EQUAL, family, [(_RETURN, 0, 0, _ALLOW)])
    return [*part, _refuse(_EAFNOSUPPORT)]


def _if_new_limit() -> list[Instruction]:
    """Pretend success when prlimit(2) brings a new limit: one half of that pointer is not 0."""
    part = []
    for half in (0, 4):
        load = (_LOAD, 0, 0, 16 + 8 * 2 + half)
        part += [load, (_EQUAL, 1, 0, 0), _refuse(_NO_ERROR)]
    return part


def _when_call(number: int | None, part: list[Instruction]) -> list[Instruction]:
    if number is None:
        return []
    # The part has loaded an argument; what follows it tests the call's number again.
    return _when(_EQUAL, number, [*part, (_LOAD, 0, 0, _NUMBER)])


def _when(test: int, value: int, part: list[Instruction]) -> list[Instruction]:
    return [(test, 0, len(part), value), *part]


def _argument(place: int) -> Instruction:
    """Load the low half of an argument: the kernel takes 32 bits of each that is tested here."""
    return (_LOAD, 0, 0, 16 + 8 * place)


def _refuse(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)
