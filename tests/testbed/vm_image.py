# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images of Debian 12 and 13 with Debian's own kernels, made once and kept."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from dataclasses import dataclass

from testbed import cache
from testbed.server import POSTGRESQL_SETUP
from testbed.trees import Tree, guest_tree_with

# The kernel with all its modules, what the suites call, and a database to lose.
VM_PACKAGES = (
    "acl",
    "apparmor",
    "attr",
    "btrfs-progs",
    "busybox-static",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "f2fs-tools",
    "fuse3",
    "initramfs-tools",
    "libcap2-bin",
    "linux-image-amd64",
    "mmdebstrap",
    "nfs-common",
    "nfs-kernel-server",
    "postgresql",
    "psmisc",
    "python3-pytest-rerunfailures",
    "python3-pytest-xdist",
    "squashfs-tools",
    "sudo",
    "systemd-container",
    "udev",
    "xfsprogs",
    "xz-utils",
    "zstd",
)
AGENT = "/run/testbed/tests/testbed/vm_agent.py"
_DISK = "6G"

# Servers stay off until a test asks for them, and the agent is the last to start.
_SET_UP = f"""{POSTGRESQL_SETUP}
systemctl disable --quiet postgresql.service nfs-server.service nfs-client.target rpcbind.socket rpcbind
systemctl mask --quiet e2scrub_reap.service e2scrub_all.timer fstrim.timer man-db.timer dpkg-db-backup.timer
echo '/dev/vda / ext4 rw,relatime 0 0' > /etc/fstab
mkdir -p /run/testbed
cat > /etc/systemd/system/testbed.service <<'UNIT'
[Unit]
Description=Run what the test bed asks for
After=multi-user.target
ConditionVirtualization=vm
[Service]
ExecStartPre=/bin/mkdir -p /run/testbed
ExecStartPre=/bin/tar -xf /dev/vdb -C /run/testbed
ExecStart=/usr/bin/python3 -I {AGENT}
StandardInput=null
Delegate=yes
OOMScoreAdjust=-900
TasksMax=infinity
[Install]
WantedBy=graphical.target
UNIT
ln -s /dev/null /etc/systemd/system/serial-getty@ttyS0.service
systemctl enable --quiet testbed.service
"""

_INIT = """#!/bin/sh
busybox mount -t devtmpfs dev /dev
for module in {modules}; do busybox insmod "/m/$module"; done
tries=0
while [ ! -b /dev/vda ] && [ "$tries" -lt 100 ]; do busybox sleep 0.1; tries=$((tries+1)); done
busybox mount -t ext4 /dev/vda /new || exec sh
busybox mount --move /dev /new/dev
exec busybox switch_root /new /lib/systemd/systemd
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What qemu boots: a kernel, a small initial file system for it, and a disk that is never written to."""

    version: str
    release: str
    kernel: str
    initrd: str
    disk: str


def image(version: str) -> Image:
    """Return the image of a Debian version; made the first time, from Debian's archive alone.

    :raises RuntimeError: a program that makes it failed; the message holds what it said.
    """
    tree = guest_tree_with(version, VM_PACKAGES, _SET_UP)

    def make(directory: str) -> None:
        os.mkdir(directory, 0o755)
        _in_merged_tree(tree, directory)

    made = cache.made_once("vm", f"{version}-{cache.key(*tree.layers, _INIT, _DISK)}", make)
    with open(f"{made}/release", encoding="ascii") as file:
        release = file.read()
    return Image(version, release, f"{made}/vmlinuz", f"{made}/initrd", f"{made}/disk")


def _in_merged_tree(tree: Tree, directory: str) -> None:
    """Fill ``directory`` from the tree, which is mounted for this in a mount namespace of its own."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        if status:
            raise RuntimeError(f"the image of a Debian {tree.version} could not be made; see above")
        return
    status = 1
    try:
        root = cache.cache_directory("mount-point")
        _unshare()
        layers = ":".join((*tree.layers, cache.cache_directory("empty")))
        _run("mount", "-t", "overlay", "overlay", root, "-o", f"lowerdir={layers}")
        release = sorted(os.listdir(f"{root}/lib/modules"))[-1]
        shutil.copyfile(f"{root}/boot/vmlinuz-{release}", f"{directory}/vmlinuz")
        _make_initrd(root, release, directory)
        options = "lazy_itable_init=1,lazy_journal_init=1"
        _run(
            "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, "-E", options, f"{directory}/disk", _DISK
        )
        with open(f"{directory}/release", "w", encoding="ascii") as file:
            file.write(release)
        status = 0
    except (OSError, RuntimeError, IndexError) as problem:
        print(problem, flush=True)
    finally:
        os._exit(status)


def _make_initrd(root: str, release: str, directory: str) -> None:
    """Write a file system of busybox and the modules that lead to the disk: initramfs in cpio format."""
    top = f"{directory}/initrd.d"
    for part in ("bin", "dev", "new", "m"):
        os.makedirs(f"{top}/{part}")
    shutil.copy(shutil.which("busybox", path=f"{root}/bin:{root}/usr/bin") or "", f"{top}/bin/busybox")
    os.symlink("busybox", f"{top}/bin/sh")
    modules = []
    for wanted in ("virtio_pci", "virtio_blk", "ext4"):
        shown = _run("chroot", root, "modprobe", "-S", release, "--show-depends", wanted)
        for line in shown.splitlines():
            word, _, path = line.strip().partition(" ")
            if word != "insmod" or path.strip() in modules:
                continue
            modules.append(path.strip())
    names = []
    for path in modules:
        name = os.path.basename(path)
        with open(root + path, "rb") as file:
            data = file.read()
        if name.endswith(".xz"):
            name, data = name.removesuffix(".xz"), lzma.decompress(data)
        with open(f"{top}/m/{name}", "wb") as file:
            file.write(data)
        names.append(name)
    with open(f"{top}/init", "w", encoding="ascii") as file:
        file.write(_INIT.format(modules=" ".join(names)))
    os.chmod(f"{top}/init", 0o755)
    _run("sh", "-ec", 'cd "$1"; find . | cpio -o -H newc --quiet > "$2"', "sh", top, f"{directory}/initrd")
    shutil.rmtree(top)


def _unshare() -> None:
    import ctypes  # os.unshare() came with Python 3.12

    libc = ctypes.CDLL(None, use_errno=True)
    new_mount_namespace, private, recursive = 0x20000, 1 << 18, 1 << 14  # sched.h, mount(2)
    if libc.unshare(new_mount_namespace) or libc.mount(b"none", b"/", None, private | recursive, None):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own can be had")


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
