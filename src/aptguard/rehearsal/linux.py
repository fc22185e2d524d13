# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux system calls that Python 3.11 does not offer: thin, honest wrappers, no policy.

Each one raises OSError(errno, what was tried, path). Standard library only; the helper's start-up time
depends on what is imported here. Constants carry the name of the header that defines them.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# sys/mount.h, linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
OPEN_TREE_CLONE = 1
AT_EMPTY_PATH = 0x1000
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR__ATIME = 0x70
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
# linux/openat2.h
RESOLVE_IN_ROOT = 0x10
# linux/capability.h
LINUX_CAPABILITY_VERSION_3 = 0x20080522
# asm/unistd.h: equal on every architecture for calls newer than Linux 5.1
SYS_OPEN_TREE = 428
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.syscall.restype = ctypes.c_long


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _FilterProgram(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _failure(tried: str, path: bytes | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{tried}: {os.strerror(number)}", path)


def unshare(flags: int) -> None:
    """Leave the namespaces in ``flags`` (unshare(2))."""
    if _libc.unshare(flags) < 0:
        raise _failure(f"cannot make new namespaces (unshare {flags:#x})")


def set_host_name(name: bytes) -> None:
    """Set the host name of this UTS namespace (sethostname(2)); OSError."""
    if _libc.sethostname(name, ctypes.c_size_t(len(name))) < 0:
        raise _failure("cannot set the host name")


def set_domain_name(name: bytes) -> None:
    """Set the domain name of this UTS namespace (setdomainname(2)); OSError."""
    if _libc.setdomainname(name, ctypes.c_size_t(len(name))) < 0:
        raise _failure("cannot set the domain name")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind ``fd`` (setns(2)); ``kind`` is a CLONE_NEW constant."""
    if _libc.setns(fd, kind) < 0:
        raise _failure(f"cannot enter the namespace {kind:#x}")


def mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes = b"") -> None:
    """Mount (mount(2)); ``data`` must already be escaped."""
    if _libc.mount(source, target, kind, flags, data or None) < 0:
        raise _failure(
            f"cannot mount {kind.decode() or source.decode('utf-8', 'replace')} (flags {flags:#x})", target
        )


def umount2(target: bytes, flags: int) -> None:
    """Unmount (umount2(2))."""
    if _libc.umount2(target, flags) < 0:
        raise _failure("cannot unmount", target)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """Make ``new_root`` the root of this mount namespace (pivot_root(2)); the C library has no wrapper."""
    number = _PIVOT_ROOT.get(platform_machine())
    if number is None:
        raise OSError(38, f"pivot_root's number is not known on {platform_machine()}")
    if _libc.syscall(ctypes.c_long(number), ctypes.c_char_p(new_root), ctypes.c_char_p(put_old)) < 0:
        raise _failure("cannot change the root (pivot_root)", new_root)


def prctl(option: int, first: int = 0, second: int = 0) -> None:
    """Change a property of this process (prctl(2))."""
    if _libc.prctl(option, first, second, 0, 0) < 0:
        raise _failure(f"prctl option {option} with {first}")


def open_tree_clone(fd: int) -> int:
    """Return a descriptor of a detached copy of the one mount that the directory ``fd`` stands on.

    Mounts below it are not part of the copy (open_tree(2) without AT_RECURSIVE).
    """
    result = int(
        _libc.syscall(
            ctypes.c_long(SYS_OPEN_TREE),
            ctypes.c_int(fd),
            ctypes.c_char_p(b""),
            ctypes.c_uint(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH),
        )
    )
    if result < 0:
        raise _failure("cannot copy a mount (open_tree)")
    return result


def only_for_reading(fd: int) -> None:
    """Make the mount ``fd`` refuse writing, and reading leave no access times (mount_setattr(2))."""
    change = struct.pack(
        "=4Q", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, 0, 0
    )
    system_call(
        "make a copy of a mount read-only (mount_setattr)",
        SYS_MOUNT_SETATTR,
        ctypes.c_long(fd),
        ctypes.c_char_p(b""),
        ctypes.c_long(AT_EMPTY_PATH),
        ctypes.c_char_p(change),
        ctypes.c_long(len(change)),
    )


def openat_in_root(root: int, path: bytes, flags: int) -> int:
    """Open ``path`` as a process would whose root directory is ``root`` (openat2(2), RESOLVE_IN_ROOT)."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
    result = int(
        _libc.syscall(
            ctypes.c_long(SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
    )
    if result < 0:
        raise _failure("cannot open in the rehearsed root", path)
    return result


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close all descriptors from ``first`` to ``last`` (close_range(2)).

    os.closerange does not report a failure; a descriptor that stays open is a way out of the rehearsal.
    """
    if (
        _libc.syscall(
            ctypes.c_long(SYS_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0)
        )
        < 0
    ):
        raise _failure(f"cannot close the descriptors from {first} on")


def set_capabilities(kept: frozenset[int]) -> None:
    """Make ``kept`` the permitted and effective capabilities, nothing inheritable (capset(2))."""
    header = _CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    for number in kept:
        data[number // 32].effective |= 1 << (number % 32)
        data[number // 32].permitted |= 1 << (number % 32)
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) < 0:
        raise _failure("cannot drop capabilities (capset)")


def install_seccomp_filter(program: bytes) -> None:
    """Load a classic BPF program (8 bytes an instruction) for this process and its children (seccomp(2))."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = _FilterProgram(len(program) // 8, ctypes.addressof(buffer))
    if _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(fprog), 0, 0) < 0:
        raise _failure(f"cannot load the system call filter of {len(program) // 8} instructions")


def system_call(tried: str, number: int, *arguments: ctypes.c_long | ctypes.c_char_p) -> int:
    """Return what the call ``number`` answers; for calls for which nothing else stands here."""
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _failure(f"cannot {tried}")
    return result


def ioctl_number(kind: int, number: int, size: int = 0) -> int:
    """Return the number of an ioctl without argument, or that writes ``size`` bytes (asm/ioctl.h)."""
    if platform_machine().startswith(("mips", "ppc", "sparc", "alpha")):
        direction = (4 if size else 1) << 29
    else:
        direction = (1 if size else 0) << 30
    return direction | size << 16 | kind << 8 | number


def reaped_within(pid: int, seconds: float) -> bool:
    """Reap the child ``pid`` and return True; False when it has not ended after ``seconds``.

    A process that waits for an answer of the kernel's, say from a file system, ends only after it.
    """
    process = os.pidfd_open(pid)
    try:
        if not select.select([process], [], [], seconds)[0]:
            return False
    finally:
        os.close(process)
    os.waitpid(pid, 0)
    return True


def platform_machine() -> str:
    """Return the kernel's name of the architecture (``x86_64``, ``aarch64``)."""
    return os.uname().machine


def mount_id(fd: int) -> int:
    """Return the mount ID of the descriptor ``fd`` (proc_pid_fdinfo(5)).

    Raises OSError when /proc is not there.
    """
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        for line in info:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    raise OSError(38, f"/proc/self/fdinfo/{fd} has no mount ID; is /proc mounted?")


def allocate(fd: int, size: int) -> None:
    """Let the file ``fd`` have ``size`` bytes of disk space, or fail at once (fallocate(2)).

    posix_fallocate(3) would write them all where the file system cannot do it.
    """
    if _libc.fallocate(fd, 0, 0, size) < 0:
        raise _failure(f"cannot allocate {size >> 20} MiB of disk space (fallocate)")


def file_system_type(fd: int) -> int:
    """Return the magic number of the file system that ``fd`` is on (fstatfs(2))."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs begins with a word f_type
    if _libc.fstatfs(fd, buffer) < 0:
        raise _failure("cannot ask for the type of a file system")
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF
