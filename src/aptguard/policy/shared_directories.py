# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that belong to nobody in particular; standard library only."""

from __future__ import annotations

# Shared by so many that a package which happens to be alone in it cannot call it its own.
SHARED_DIRECTORIES = frozenset(
    {
        *(b"/bin", b"/boot", b"/dev", b"/etc", b"/home", b"/lib", b"/media", b"/mnt", b"/opt", b"/proc"),
        *(b"/root", b"/run", b"/sbin", b"/srv", b"/sys", b"/tmp", b"/usr", b"/var"),
        *(b"/etc/init.d", b"/etc/default", b"/etc/cron.d", b"/etc/cron.daily", b"/etc/cron.hourly"),
        *(b"/etc/cron.monthly", b"/etc/cron.weekly", b"/etc/sudoers.d", b"/etc/profile.d", b"/etc/ssl"),
        *(
            b"/etc/ssl/private",
            b"/etc/ssl/certs",
            b"/etc/systemd",
            b"/etc/systemd/system",
            b"/etc/logrotate.d",
        ),
        *(
            b"/etc/modprobe.d",
            b"/etc/sysctl.d",
            b"/etc/udev",
            b"/etc/udev/rules.d",
            b"/etc/apt",
            b"/etc/pam.d",
        ),
        *(b"/etc/network", b"/etc/security", b"/etc/skel", b"/etc/X11", b"/etc/xdg", b"/boot/efi"),
        *(b"/usr/bin", b"/usr/sbin", b"/usr/lib", b"/usr/lib64", b"/usr/libexec", b"/usr/include"),
        *(b"/usr/share", b"/usr/src", b"/usr/games", b"/usr/local", b"/usr/local/bin", b"/usr/local/lib"),
        *(b"/usr/local/share", b"/usr/local/sbin", b"/usr/local/etc", b"/usr/share/doc", b"/usr/share/man"),
        *(
            b"/var/backups",
            b"/var/cache",
            b"/var/lib",
            b"/var/local",
            b"/var/lock",
            b"/var/log",
            b"/var/mail",
        ),
        *(b"/var/opt", b"/var/spool", b"/var/spool/cron", b"/var/tmp", b"/var/www", b"/var/www/html"),
    }
)
