# SPDX-License-Identifier: GPL-3.0-or-later
"""The system call filter of a rehearsal, as a classic BPF program made here; pure.

Everything is allowed but a list: an allow-list would stop honest scripts at the first new call of a new C
library. What is refused has no part in what a maintainer script does to files. An architecture that is not
in the table runs no call at all.

A call that fails here and not on the machine can hide what a script does there: ``unshare -m rm -rf /srv ||
true``. So a refusal is one of three. What changes nothing that could be seen later is answered as done, and
the script goes on as on the machine. What other calls would meet (namespaces, mounts, tracers) is handed to
the supervisor, which refuses it and tells of it (refused_calls.py). What ordinary programs try and do without
(keys, memory of others) is refused without a word. That holds, too, for what is refused for want of one of
root's capabilities (confinement.py). Sources: seccomp(2), seccomp_unotify(2), linux/filter.h,
linux/seccomp.h, linux/audit.h.
"""

from __future__ import annotations

import struct
from functools import cache

Numbers = tuple[int | None, int | None, int | None]

# Numbers on x86_64, i386 and aarch64, from the kernel's asm/unistd.h; None: not there.
_REFUSED: dict[str, Numbers] = {
    # The kernel's keyrings belong to no namespace.
    "request_key": (249, 287, 218),
    # Memory and descriptors of other processes.
    "kcmp": (312, 349, 272),
    "pidfd_getfd": (438, 438, 438),
    "process_madvise": (440, 440, 440),
    "process_vm_readv": (310, 347, 270),
    "process_vm_writev": (311, 348, 271),
    # The kernel of the whole machine.
    "lookup_dcookie": (212, 253, 18),
    "userfaultfd": (323, 374, 282),
    # Files by handle: they would lie behind the overlay.
    "fanotify_init": (300, 338, 262),
    "fanotify_mark": (301, 339, 263),
    "open_by_handle_at": (304, 342, 265),
    # Placement of other processes' memory.
    "move_pages": (279, 317, 239),
}
# Refused, and told by the supervisor.
_TOLD: dict[str, Numbers] = {
    # Mounts and namespaces: what is covered must stay covered.
    "pivot_root": (155, 217, 41),
    "setns": (308, 346, 268),
    "umount": (None, 22, None),
    "umount2": (166, 52, 39),
    "ptrace": (101, 26, 117),
    # The kernel of the whole machine.
    "add_key": (248, 286, 217),
    "bpf": (321, 357, 280),
    "ioperm": (173, 101, None),
    "iopl": (172, 110, None),
    "perf_event_open": (298, 336, 241),
    "quotactl": (179, 131, 60),
    "quotactl_fd": (443, 443, 443),
    "delete_module": (176, 129, 106),
    "finit_module": (313, 350, 273),
    "init_module": (175, 128, 105),
    "kexec_file_load": (320, None, 294),
    "kexec_load": (246, 283, 104),
    "reboot": (169, 88, 142),
}
# Nothing is done, and the caller is told that it was: nothing of it could be seen in a file.
_PRETENDED: dict[str, Numbers] = {
    "acct": (163, 51, 89),
    "swapoff": (168, 115, 225),
    "swapon": (167, 87, 224),
    "clock_settime": (227, 264, 112),
    "clock_settime64": (None, 404, None),
    "settimeofday": (164, 79, 170),
    "stime": (None, 25, None),
    "migrate_pages": (256, 294, 238),
    "mlock": (149, 150, 228),
    "mlock2": (325, 376, 284),
    "mlockall": (151, 152, 230),
    "vhangup": (153, 111, 58),
    # Which class and priority are in memory where no filter can look.
    "sched_setattr": (314, 351, 274),
    "sched_setparam": (142, 154, 118),
}
# Done by the supervisor in the namespace of the rehearsal; without one only said to be.
_NAMES: dict[str, Numbers] = {"sethostname": (170, 74, 161), "setdomainname": (171, 121, 162)}
# The kernel does what needs no capability, and refuses the rest; then it is told.
_SEEN: dict[str, Numbers] = {
    "connect": (42, 362, 203),
    "adjtimex": (159, 124, 171),
    "clock_adjtime": (305, 343, 266),
    "clock_adjtime64": (None, 405, None),
}
# Refused as "not implemented", for which callers have another way. clone3 hides its flags behind a pointer
# that a filter cannot read; the C library then calls clone. libmount then calls mount.
_NOT_IMPLEMENTED: dict[str, Numbers] = {
    "clone3": (435, 435, 435),
    "io_uring_setup": (425, 425, 425),
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fspick": (433, 433, 433),
    "mount_setattr": (442, 442, 442),
    "move_mount": (429, 429, 429),
    "open_tree_attr": (467, 467, 467),
}
# The same, but told in case that there is no other way.
_TOLD_AS_NOT_IMPLEMENTED: dict[str, Numbers] = {"fsopen": (430, 430, 430), "open_tree": (428, 428, 428)}
_MOUNT = (165, 21, 40)
_UNSHARE = (272, 310, 97)
_CLONE = (56, 120, 220)
_SOCKET = (41, 359, 198)
_SOCKETPAIR = (53, 360, 199)
_SETSOCKOPT = (54, 366, 208)
_SOCKETCALL = (None, 102, None)
_IOCTL = (16, 54, 29)
_KEYCTL = (250, 288, 219)
_MKNOD = (133, 14, None)
_MKNODAT = (259, 297, 33)
_SYSLOG = (103, 103, 116)
_SETRLIMIT = (160, 75, 164)
_PRLIMIT64 = (302, 340, 261)
_SETPRIORITY = (141, 97, 140)
_NICE = (None, 34, None)
_SCHED_SETSCHEDULER = (144, 156, 119)
_IOPRIO_SET = (251, 289, 30)

_COLUMNS = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "i386": 1, "aarch64": 2}

_NEW_NAMESPACES = 0x7E020000  # all CLONE_NEW flags that clone(2) takes
_NEW_MOUNTS, _NEW_USERS, _NEW_TIME = 0x00020000, 0x10000000, 0x80  # CLONE_NEWNS, NEWUSER, NEWTIME
# linux/mount.h: MS_UNBINDABLE, PRIVATE, SLAVE, SHARED; and a mark that has the same bits.
_PROPAGATION, _MAGIC, _MAGIC_MASK = 0x1E0000, 0xC0ED0000, 0xFFFF0000
# linux/sched.h, linux/ioprio.h
_REAL_TIME_CLASSES, _RESET_ON_FORK = (1, 2), 0x40000000
_IO_CLASS, _IO_REAL_TIME = 0xE000, 0x2000
_NEGATIVE = 0x80000000
# Whatever makes the kernel look for a module runs modprobe as root of the machine, outside of everything here
# (request_module() in the kernel's kernel/module/kmod.c). Where the kernel asks for a capability first, none
# of ours will do; what it does for anybody is refused. What no filter can see: docs/threat-model.md.
_REQUESTS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX push input; TIOCSETD loads a line discipline
# Told, as what would set up the network.
_REQUESTS_ON_SOCKETS = (
    # On any socket (sock_ioctl() in net/socket.c, linux/sockios.h): SIOCGIFBR, SIOCSIFBR, SIOCBRADDBR and
    # SIOCBRDELBR load bridge; SIOCGIFVLAN, SIOCSIFVLAN load 8021q; SIOCADDDLCI, SIOCDELDLCI load dlci.
    *(0x8940, 0x8941, 0x89A0, 0x89A1, 0x8982, 0x8983, 0x8980, 0x8981),
    # Refused for want of CAP_NET_ADMIN: SIOCADDRT, SIOCDELRT; SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFDSTADDR,
    # SIOCSIFBRDADDR, SIOCSIFNETMASK, SIOCSIFMETRIC, SIOCSIFMTU, SIOCSIFNAME, SIOCSIFHWADDR (netdevice(7));
    # SIOCDIFADDR; SIOCDARP, SIOCSARP; SIOCADDTUNNEL, SIOCDELTUNNEL, SIOCCHGTUNNEL (linux/if_tunnel.h);
    # SIOCBRADDIF, SIOCBRDELIF.
    *(0x890B, 0x890C, 0x8914, 0x8916, 0x8918, 0x891A, 0x891C, 0x891E, 0x8922, 0x8923, 0x8924),
    *(0x8936, 0x8953, 0x8955, 0x89F1, 0x89F2, 0x89F3, 0x89A2, 0x89A3),
)
# A family, a type or a protocol that the kernel does not know makes it look for a module (inet_create() in
# net/ipv4/af_inet.c). By family and type (sys/socket.h): INET and INET6, as a stream: any, TCP; as datagrams:
# any, UDP, ICMP or ICMPv6. Raw ones need CAP_NET_RAW.
_STREAM, _DATAGRAM, _RAW = 1, 2, 3
_TYPE_MASK = 0xF  # the rest are SOCK_NONBLOCK and SOCK_CLOEXEC
_INET, _INET6 = 2, 10
_PROTOCOLS = {
    _INET: {_STREAM: (0, 6), _DATAGRAM: (0, 17, 1)},
    _INET6: {_STREAM: (0, 6), _DATAGRAM: (0, 17, 58)},
}
# Route and uevents, bound to the network namespace. Others load modules, also for a name in a message, and do
# nothing without CAP_NET_ADMIN; the one of SELinux, a module too, is of no use where no selinuxfs is mounted.
_NETLINK, _NETLINK_PROTOCOLS = 16, (0, 15)
# Told: what such programs open first (linux/netlink.h): SOCK_DIAG (ss), XFRM (ip), NETFILTER (nft, ipset),
# GENERIC (wg, iw, ethtool). Not AUDIT: PAM and the programs of shadow try it and do without.
_NETLINK_TOLD = (4, 6, 12, 16)
_UNIX = 1
# setsockopt(2) of a TCP socket, linux/tcp.h: TCP_MD5SIG, TCP_MD5SIG_EXT, TCP_AO_ADD_KEY load a hash function.
_TCP, _KEYS_OF_CONNECTIONS = 6, (14, 32, 38)
_RLIMIT_CORE = 4
_FREEZE, _THAW, _TRIM = 0xC0045877, 0xC0045878, 0xC0185879  # linux/fs.h
_KIND_OF_FILE, _DEVICES = 0xF000, (0x2000, 0x6000)  # linux/stat.h: S_IFMT; S_IFCHR, S_IFBLK
_JOIN_SESSION = 1  # linux/keyctl.h: KEYCTL_JOIN_SESSION_KEYRING
_OF_THE_LOG = (5, 6, 7, 8)  # syslog(2): clear it, and what of it the console shows
_X32 = 0x40000000

_NO_ERROR, _EPERM, _ENOSYS, _ENOPROTOOPT, _EPROTONOSUPPORT = 0, 1, 38, 92, 93
_ESOCKTNOSUPPORT, _EOPNOTSUPP, _EAFNOSUPPORT = 94, 95, 97
_ALLOW, _ERRNO, _KILL_PROCESS, _USER_NOTIF = 0x7FFF0000, 0x00050000, 0x80000000, 0x7FC00000
# linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|{JEQ,JGE,JSET}|BPF_K, BPF_RET|BPF_K, BPF_ALU|BPF_AND|BPF_K
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]


@cache
def filter_program(machine: str, ipv6: bool = True, listened: bool = False) -> bytes:
    """Return the BPF program for ``machine`` (uname's name), 8 bytes an instruction, little endian.

    Without ``ipv6`` the kernel has no such sockets, so that asking for one would make it look for a module.
    ``listened``: somebody answers the calls of reported_calls; otherwise these are refused here, but for
    those that the kernel may decide upon.

    Raises ValueError for a machine whose system call numbers are not known here.
    """
    architectures = _COLUMNS.get(machine)
    if architectures is None:
        raise ValueError(f"there is no table of system calls for {machine}, so nothing can be confined on it")
    program: list[Instruction] = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for architecture in architectures:
        section = _section(architecture, ipv6, listened)
        # Conditional jumps reach 255 instructions, a plain jump any: hence the pair.
        program.append((_EQUAL, 1, 0, _AUDIT_ARCH[architecture]))
        program.append((0x05, 0, 0, len(section)))
        program.extend(section)
    program.append((_RETURN, 0, 0, _KILL_PROCESS))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def reported_calls(machine: str) -> dict[tuple[int, int], str]:
    """Return the names of the calls that a listened filter hands on, by audit architecture and number."""
    tables = {**_TOLD, **_TOLD_AS_NOT_IMPLEMENTED, **_NAMES, **_SEEN, "mount": _MOUNT, "unshare": _UNSHARE}
    tables |= {"clone": _CLONE, "setrlimit": _SETRLIMIT, "prlimit64": _PRLIMIT64, "mknod": _MKNOD}
    tables |= {"mknodat": _MKNODAT, "ioctl": _IOCTL, "socket": _SOCKET}
    return {
        (_AUDIT_ARCH[architecture], number): name
        for architecture in _COLUMNS.get(machine, ())
        for name, numbers in tables.items()
        if (number := numbers[_COLUMN[architecture]]) is not None
    }


def _section(architecture: str, ipv6: bool, listened: bool) -> list[Instruction]:
    """Return the part for one architecture; it never runs past its own end."""
    column = _COLUMN[architecture]

    def told(error: int) -> Instruction:
        return (_RETURN, 0, 0, _USER_NOTIF) if listened else _refuse(error)

    # What is only looked at: the kernel does it, or refuses it by itself.
    seen = (_RETURN, 0, 0, _USER_NOTIF if listened else _ALLOW)
    section: list[Instruction] = [(_LOAD, 0, 0, _NUMBER)]
    if architecture == "x86_64":
        section += _when(_AT_LEAST, _X32, [_refuse(_ENOSYS)])
    for table, answer in (
        (_REFUSED, _refuse(_EPERM)),
        (_TOLD, told(_EPERM)),
        (_PRETENDED, _refuse(_NO_ERROR)),
        (_NOT_IMPLEMENTED, _refuse(_ENOSYS)),
        (_TOLD_AS_NOT_IMPLEMENTED, told(_ENOSYS)),
        (_NAMES, told(_NO_ERROR)),
        (_SEEN, seen),
    ):
        for numbers in table.values():
            section += _when_call(numbers[column], [answer], loads=False)
    section += _when_call(_MOUNT[column], _mount(told(_EPERM)))
    section += _when_call(_UNSHARE[column], _unshare(told(_EPERM)))
    mounts = _when(_ANY_BIT, _NEW_MOUNTS, [told(_EPERM)])
    others = _when(_ANY_BIT, _NEW_NAMESPACES, [_refuse(_EPERM)])
    section += _when_call(_CLONE[column], [_argument(0), *mounts, *others])
    requests = [_argument(1)]
    for request in _REQUESTS:
        requests += _when(_EQUAL, request, [_refuse(_EPERM)])
    for request in (_FREEZE, _THAW, *_REQUESTS_ON_SOCKETS):
        requests += _when(_EQUAL, request, [told(_EPERM)])
    requests += _when(_EQUAL, _TRIM, [_refuse(_NO_ERROR)])
    section += _when_call(_IOCTL[column], requests)
    section += _when_call(_SOCKET[column], _socket(ipv6, told(_EPROTONOSUPPORT)))
    section += _when_call(_SOCKETPAIR[column], [_argument(0), *_only((_UNIX,), _EOPNOTSUPP)])
    section += _when_call(_SETSOCKOPT[column], [_argument(1), *_when(_EQUAL, _TCP, _option_of_tcp())])
    section += _when_call(_MKNOD[column], _node(1, told(_EPERM)))
    section += _when_call(_MKNODAT[column], _node(2, told(_EPERM)))
    # A session of its own is what `keyctl session` runs a command in.
    session = _when(_EQUAL, _JOIN_SESSION, [_refuse(_NO_ERROR)])
    section += _when_call(_KEYCTL[column], [_argument(0), *session, _refuse(_EPERM)])
    log = [_argument(0)]
    for action in _OF_THE_LOG:
        log += _when(_EQUAL, action, [_refuse(_NO_ERROR)])
    section += _when_call(_SYSLOG[column], [*log, _refuse(_EPERM)])
    # The limit of core dumps stays what it is; scripts that set it are told that it was done.
    keep = _when(_EQUAL, _RLIMIT_CORE, [_refuse(_NO_ERROR)])
    section += _when_call(_SETRLIMIT[column], [_argument(0), *keep, seen])
    kept = _when(_EQUAL, _RLIMIT_CORE, [*_if_new_limit(_refuse(_NO_ERROR)), (_RETURN, 0, 0, _ALLOW)])
    section += _when_call(_PRLIMIT64[column], [_argument(1), *kept, *_if_new_limit(seen)])
    for call, part in _priorities().items():
        section += _when_call(call[column], part)
    # socketcall(2) hides what matters behind a pointer: SYS_SOCKET, SYS_SOCKETPAIR, SYS_SETSOCKOPT.
    hidden = [_argument(0)]
    for subcall, error in ((1, _EAFNOSUPPORT), (8, _EOPNOTSUPP), (14, _ENOPROTOOPT)):
        hidden += _when(_EQUAL, subcall, [_refuse(error)])
    section += _when_call(_SOCKETCALL[column], hidden)
    section.append((_RETURN, 0, 0, _ALLOW))
    return section


def _mount(told: Instruction) -> list[Instruction]:
    """Tell of a mount; how later ones would spread is answered as done: there will be none."""
    magic = [_argument(3), (_AND, 0, 0, _MAGIC_MASK), *_when(_EQUAL, _MAGIC, [told])]
    return [*magic, _argument(3), *_when(_ANY_BIT, _PROPAGATION, [_refuse(_NO_ERROR)]), told]


def _unshare(told: Instruction) -> list[Instruction]:
    """Pretend that there are new namespaces: what is done in the old ones is seen, and is no less.

    A user namespace is not pretended, for its caller goes on to write maps of users, which must fail.
    """
    users = _when(_ANY_BIT, _NEW_USERS, [told])
    return [_argument(0), *users, *_when(_ANY_BIT, _NEW_NAMESPACES | _NEW_TIME, [_refuse(_NO_ERROR)])]


def _node(mode: int, told: Instruction) -> list[Instruction]:
    part = [_argument(mode), (_AND, 0, 0, _KIND_OF_FILE)]
    for kind in _DEVICES:
        part += _when(_EQUAL, kind, [told])
    return part


def _priorities() -> dict[Numbers, list[Instruction]]:
    """Return the calls that may ask for a better place before the processors and disks of the machine.

    Then nothing is done, and the caller goes on as if it were: ``ionice -c 1 rm`` must delete what it will.
    """
    pretend = [_refuse(_NO_ERROR)]
    # A nice value of 0 is better than what apt may have been started with.
    better = [*_when(_ANY_BIT, _NEGATIVE, pretend), *_when(_EQUAL, 0, pretend)]
    real_time = [_argument(1), (_AND, 0, 0, ~_RESET_ON_FORK & 0xFFFFFFFF)]
    for policy in _REAL_TIME_CLASSES:
        real_time += _when(_EQUAL, policy, pretend)
    return {
        _SETPRIORITY: [_argument(2), *better],
        _NICE: [_argument(0), *_when(_ANY_BIT, _NEGATIVE, pretend)],
        _SCHED_SETSCHEDULER: real_time,
        _IOPRIO_SET: [_argument(2), (_AND, 0, 0, _IO_CLASS), *_when(_EQUAL, _IO_REAL_TIME, pretend)],
    }


def _socket(ipv6: bool, told: Instruction) -> list[Instruction]:
    part = [_argument(0), *_when(_EQUAL, _UNIX, [(_RETURN, 0, 0, _ALLOW)])]
    netlink = [_argument(2)]
    for protocol in _NETLINK_TOLD:
        netlink += _when(_EQUAL, protocol, [told])
    part += _when(_EQUAL, _NETLINK, [*netlink, *_only(_NETLINK_PROTOCOLS, _EPROTONOSUPPORT)])
    for family, types in _PROTOCOLS.items():
        if family == _INET6 and not ipv6:
            continue
        known = [_argument(1), (_AND, 0, 0, _TYPE_MASK)]
        for kind, protocols in types.items():
            known += _when(_EQUAL, kind, [_argument(2), *_only(protocols, _EPROTONOSUPPORT)])
        known += _when(_EQUAL, _RAW, [_refuse(_EPERM)])
        part += _when(_EQUAL, family, [*known, _refuse(_ESOCKTNOSUPPORT)])
    return [*part, _refuse(_EAFNOSUPPORT)]


def _option_of_tcp() -> list[Instruction]:
    part = [_argument(2)]
    for option in _KEYS_OF_CONNECTIONS:
        part += _when(_EQUAL, option, [_refuse(_ENOPROTOOPT)])
    return part


def _only(values: tuple[int, ...], error: int) -> list[Instruction]:
    """Allow the call when what was loaded is one of ``values``, else refuse it; nothing follows."""
    part: list[Instruction] = []
    for value in values:
        part += _when(_EQUAL, value, [(_RETURN, 0, 0, _ALLOW)])
    return [*part, _refuse(error)]


def _if_new_limit(answer: Instruction) -> list[Instruction]:
    """Give the answer when prlimit(2) brings a new limit: one half of that pointer is not 0."""
    part = []
    for half in (0, 4):
        load = (_LOAD, 0, 0, 16 + 8 * 2 + half)
        part += [load, (_EQUAL, 1, 0, 0), answer]
    return part


def _when_call(number: int | None, part: list[Instruction], *, loads: bool = True) -> list[Instruction]:
    if number is None:
        return []
    # A part that has loaded an argument may be followed by a test of the call's number.
    return _when(_EQUAL, number, [*part, (_LOAD, 0, 0, _NUMBER)] if loads else part)


def _when(test: int, value: int, part: list[Instruction]) -> list[Instruction]:
    return [(test, 0, len(part), value), *part]


def _argument(place: int) -> Instruction:
    """Load the low half of an argument: the kernel takes 32 bits of each that is tested here."""
    return (_LOAD, 0, 0, 16 + 8 * place)


def _refuse(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)
