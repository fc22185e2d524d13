# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of file operations, made by hypothesis, done on a directory tree."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import shutil
import socket
import stat
from collections.abc import Callable

from hypothesis import strategies

NAMES = (b"a", b"b", b"c", b"d", b"with space", b"new\nline", b"\xff\xfe", b"n" * 255, b"-rf", b"*")
CONTENTS = (b"", b"one", b"two", b"longer than that\n" * 9, b"\0" * 5000, b"x" * 70_000)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1777, 0o000)
IDS = (0, 1, 1000)
XATTRS = (
    ("user.note", b"1"),
    ("user.note", b"2"),
    ("trusted.note", b"1"),
    ("security.note", b"1"),
    ("security.capability", bytes.fromhex("0100000200040000000000000000000000000000")),
    # user::rwx, user:1000:r--, group::r-x, mask::r-x, other::r--  (linux/posix_acl_xattr.h)
    (
        "system.posix_acl_access",
        bytes.fromhex(
            "0200000001000700ffffffff02000400e803000004000500ffffffff10000500ffffffff20000400ffffffff"
        ),
    ),
)

# For directories only: what is made in one gets it (acl(5), default ACLs).
DEFAULT_ACL = ("system.posix_acl_default", XATTRS[-1][1])
# linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS; FS_IMMUTABLE_FL and FS_APPEND_FL
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_KEEPING = 0x30
FLAGS = (0x10, 0x20, 0, 0)

Operation = tuple[str, int, int, int]


class Tree:
    """A root and what stands below it now; numbers are taken modulo what there is."""

    def __init__(self, root: bytes) -> None:
        self.root = root

    def _all(self) -> list[bytes]:
        found = []
        for directory, directories, files in os.walk(self.root):
            found += [os.path.join(directory, name) for name in directories + files]
        return sorted(found)

    def some(self, number: int, test: Callable[[int], bool] = lambda mode: True) -> bytes:
        paths = [path for path in self._all() if test(os.lstat(path).st_mode)]
        if not paths:
            raise FileNotFoundError
        return paths[number % len(paths)]

    def file(self, number: int) -> bytes:
        return self.some(number, stat.S_ISREG)

    def directory(self, number: int) -> bytes:
        return ([self.root] + [path for path in self._all() if stat.S_ISDIR(os.lstat(path).st_mode)])[
            number % (1 + sum(stat.S_ISDIR(os.lstat(path).st_mode) for path in self._all()))
        ]

    def new(self, directory: int, name: int) -> bytes:
        return os.path.join(self.directory(directory), NAMES[name % len(NAMES)])


def _write(tree: Tree, i: int, j: int, k: int) -> None:
    with open(tree.file(i), "wb") as file:
        file.write(CONTENTS[j % len(CONTENTS)])


def _append(tree: Tree, i: int, j: int, k: int) -> None:
    with open(tree.file(i), "ab") as file:
        file.write(b"+")


def _touch(tree: Tree, i: int, j: int, k: int) -> None:
    with open(tree.file(i), "r+b"):
        pass
    os.utime(tree.some(i), ns=(j, k))


def _hidden_write(tree: Tree, i: int, j: int, k: int) -> None:
    path = tree.file(i)
    before = os.stat(path)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(b"!" if first else b"")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _create(tree: Tree, i: int, j: int, k: int) -> None:
    with open(tree.new(i, j), "xb") as file:
        file.write(CONTENTS[k % len(CONTENTS)])


def _replace(tree: Tree, i: int, j: int, k: int) -> None:
    """As dpkg puts a new version of a file in place."""
    path = tree.file(i)
    fresh = os.path.join(os.path.dirname(path), b".fresh")
    with open(fresh, "wb") as file:
        file.write(CONTENTS[j % len(CONTENTS)])
    os.rename(fresh, path)


def _replace_directory(tree: Tree, i: int, j: int, k: int) -> None:
    path = tree.some(i, stat.S_ISDIR)
    shutil.rmtree(path)
    os.mkdir(path)
    with open(os.path.join(path, NAMES[j % len(NAMES)]), "wb") as file:
        file.write(CONTENTS[k % len(CONTENTS)])


def _acl(tree: Tree, i: int, j: int, k: int) -> None:
    name, value = XATTRS[j % len(XATTRS)]
    os.setxattr(tree.some(i), name, value, follow_symlinks=False)


def _default_acl(tree: Tree, i: int, j: int, k: int) -> None:
    path = tree.directory(i)
    if j % 3:
        os.setxattr(path, *DEFAULT_ACL)
    else:
        os.removexattr(path, DEFAULT_ACL[0])


def _flags(tree: Tree, i: int, j: int, k: int) -> None:
    _set_flags(tree.some(i, lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode)), FLAGS[j % len(FLAGS)])


def _set_flags(path: bytes, keeping: int) -> None:
    """As chattr(1) does with +i and +a; OSError where the file system has no such flags."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        flags = array.array("i", [0])
        fcntl.ioctl(fd, _GET_FLAGS, flags)
        fcntl.ioctl(fd, _SET_FLAGS, array.array("i", [flags[0] & ~_KEEPING | keeping]))
    finally:
        os.close(fd)


def unlock(root: bytes) -> None:
    """Take away the flags that keep what stands below ``root`` from being deleted."""
    for directory, _, files in os.walk(root):
        for path in (directory, *(os.path.join(directory, name) for name in files)):
            if stat.S_ISREG(mode := os.lstat(path).st_mode) or stat.S_ISDIR(mode):
                with contextlib.suppress(OSError):
                    _set_flags(path, 0)


def _unset(tree: Tree, i: int, j: int, k: int) -> None:
    path = tree.some(i)
    names = [name for name in os.listxattr(path, follow_symlinks=False) if "overlay" not in name]
    if names:
        os.removexattr(path, names[j % len(names)], follow_symlinks=False)


def _socket(tree: Tree, i: int, j: int, k: int) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tree.directory(i))  # the path of a socket has a short bound
        try:
            server.bind(NAMES[j % len(NAMES)][:90])
        finally:
            os.chdir("/")


OPERATIONS: dict[str, Callable[[Tree, int, int, int], object]] = {
    "write": _write,
    "append": _append,
    "touch": _touch,
    "write, then restore the times": _hidden_write,
    "create": _create,
    "replace": _replace,
    "truncate": lambda t, i, j, k: os.truncate(t.file(i), j * 1000),
    "unlink": lambda t, i, j, k: os.unlink(t.some(i, lambda mode: not stat.S_ISDIR(mode))),
    "rmdir": lambda t, i, j, k: os.rmdir(t.some(i, stat.S_ISDIR)),
    "rm -r": lambda t, i, j, k: shutil.rmtree(t.some(i, stat.S_ISDIR)),
    "mkdir": lambda t, i, j, k: os.mkdir(t.new(i, j)),
    "replace directory": _replace_directory,
    "rename": lambda t, i, j, k: os.rename(t.some(i), t.new(j, k)),
    "rename directory": lambda t, i, j, k: os.rename(t.some(i, stat.S_ISDIR), t.new(j, k)),
    "rename over": lambda t, i, j, k: os.rename(t.some(i), t.some(j)),
    "chmod": lambda t, i, j, k: os.chmod(t.some(i), MODES[j % len(MODES)]),
    "chmod root": lambda t, i, j, k: os.chmod(t.root, MODES[j % len(MODES)]),
    "chown": lambda t, i, j, k: os.lchown(t.some(i), IDS[j % 3], IDS[k % 3]),
    "setxattr": _acl,
    "removexattr": _unset,
    "default ACL": _default_acl,
    "chattr": _flags,
    "symlink": lambda t, i, j, k: os.symlink(NAMES[k % len(NAMES)], t.new(i, j)),
    "link": lambda t, i, j, k: os.link(t.some(i), t.new(j, k), follow_symlinks=False),
    "mkfifo": lambda t, i, j, k: os.mkfifo(t.new(i, j)),
    "mknod": lambda t, i, j, k: os.mknod(t.new(i, j), stat.S_IFCHR | 0o600, os.makedev(1, 3 + k % 2)),
    "socket": _socket,
}


def operations(most: int) -> strategies.SearchStrategy[list[Operation]]:
    """Return a strategy for up to ``most`` operations."""
    number = strategies.integers(0, 40)
    return strategies.lists(
        strategies.tuples(strategies.sampled_from(sorted(OPERATIONS)), number, number, number), max_size=most
    )


def perform(root: bytes, sequence: list[Operation]) -> None:
    """Do the operations; one that the kernel refuses is left out."""
    tree = Tree(root)
    for name, i, j, k in sequence:
        with contextlib.suppress(OSError):
            OPERATIONS[name](tree, i, j, k)


def build_start(root: bytes) -> None:
    """Make a tree with something of everything, for the sequences to begin with."""
    for path in (b"a/b/c", b"a/d", b"b/a", b"c"):
        os.makedirs(os.path.join(root, path))
    for path in (b"a/f", b"a/b/f", b"a/b/c/f", b"b/f", b"b/a/f", b"b/a/new\nline"):
        with open(os.path.join(root, path), "wb") as file:
            file.write(path)
    os.link(os.path.join(root, b"a/f"), os.path.join(root, b"b/hard"))
    os.link(os.path.join(root, b"a/b/f"), os.path.join(root, b"a/b/hard"))
    os.symlink(b"f", os.path.join(root, b"a/link"))
    os.mkfifo(os.path.join(root, b"c/fifo"))
    os.mknod(os.path.join(root, b"c/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(os.path.join(root, b"b/f"), 0o4755)
