# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that only show the system's own directories once more, at another place; pure.

A chroot jail with /usr and /var/log bound into it, the whole root below /mnt for a backup, a disk below
/mnt whose directory var is mounted on /var: every transaction writes to what such a mount shows. A change
is judged by the name that the system has for it, not by that of the view. Any other bind mount (/srv/share on
/var/lib/app/share) leads to a place of somebody's, and a change there is judged by all its names.
"""

from __future__ import annotations

from aptguard.rehearsal.mountinfo import Mount, is_below

# Of the Filesystem Hierarchy Standard: directories that packages and people fill, each its own subject.
SYSTEM_DIRECTORIES = frozenset(
    b"/ /boot /etc /home /opt /root /run /srv /tmp /usr /usr/bin /usr/lib /usr/lib32 /usr/lib64 "
    b"/usr/libexec /usr/local /usr/sbin /usr/share /var /var/backups /var/cache /var/lib /var/lib/apt "
    b"/var/lib/dpkg /var/local /var/log /var/mail /var/opt /var/spool /var/tmp".split()
)


def is_view(mount: Mount, mounts: tuple[Mount, ...]) -> bool:
    """Whether all of ``mount`` is seen elsewhere too, and a directory of the system's is in it.

    That is: another mount of the same file system stands on a directory of the system's, and ``mount`` shows
    all that this one shows, or a directory of the system's that is below it. ``mounts`` are the visible ones.
    """
    if mount.point in SYSTEM_DIRECTORIES:
        return False
    for other in mounts:
        if other is mount or other.device != mount.device or other.point not in SYSTEM_DIRECTORIES:
            continue
        if is_below(other.root, mount.root):
            return True
        if is_below(mount.root, other.root):
            inside = mount.root[len(other.root.rstrip(b"/")) :].strip(b"/")
            if other.point.rstrip(b"/") + b"/" + inside in SYSTEM_DIRECTORIES:
                return True
    return False
