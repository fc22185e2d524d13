# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine needs somebody to do, and which packages do it; standard library only.

Names as in Debian 12 and 13. A role is lost with the last package that holds it, not with any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Role:
    """``what`` completes the sentence "afterwards nothing on this machine would be ..."."""

    name: str
    what: str
    packages: tuple[str, ...]

    def holds(self, package: str) -> bool:
        """Return whether ``package`` (without architecture) has this role."""
        return any(fnmatchcase(package, pattern) for pattern in self.packages)


ROLES = (
    Role(
        "secure-shell",
        "the secure shell's server",
        # Not dropbear-bin: without the service of dropbear nothing starts it.
        ("openssh-server", "dropbear", "tinysshd"),
    ),
    Role("superuser", "a way to act as root (sudo)", ("sudo", "sudo-ldap", "sudo-rs", "opendoas", "doas")),
    Role(
        "boot-loader",
        "the boot loader",
        (
            *(
                "grub-pc",
                "grub-efi-amd64",
                "grub-efi-arm64",
                "grub-efi-ia32",
                "grub-efi-riscv64",
                "grub-ieee1275",
            ),
            *("grub-xen", "grub-coreboot", "systemd-boot", "lilo", "extlinux", "refind", "u-boot-menu"),
            *("flash-kernel", "raspi-firmware", "zipl", "s390-tools", "yaboot", "quik"),
        ),
    ),
    Role("kernel", "the kernel", ("linux-image-[0-9]*",)),
    Role(
        "initramfs", "the maker of the initial file system", ("initramfs-tools", "dracut", "tiny-initramfs")
    ),
    Role("init", "the init process", ("systemd-sysv", "sysvinit-core", "runit-init", "openrc", "finit-sysv")),
    Role(
        "network",
        "the program that brings the network up",
        ("network-manager", "ifupdown", "ifupdown-ng", "ifupdown2", "netplan.io", "connman", "wicd-daemon"),
    ),
    Role(
        "desktop",
        "the desktop's session",
        (
            *("gnome-session", "gnome-shell", "plasma-workspace", "plasma-desktop", "xfce4-session"),
            *("mate-session-manager", "cinnamon-session", "lxsession", "lxqt-session", "budgie-core"),
        ),
    ),
    Role("display-manager", "the graphical login", ("gdm3", "sddm", "lightdm", "lxdm", "slim", "xdm", "wdm")),
)


def roles_of(packages: Iterable[str]) -> tuple[Role, ...]:
    """Return the roles that any of ``packages`` has, in the order of ROLES."""
    names = frozenset(packages)
    return tuple(role for role in ROLES if any(role.holds(name) for name in names))
