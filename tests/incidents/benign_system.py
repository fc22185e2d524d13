# SPDX-License-Identifier: GPL-3.0-or-later
"""Harmless: packages that work with the books of the system, as they should."""

from __future__ import annotations

from incidents.incident import Incident, Told, Toy, harmless, install, purge, remove


def _toy(name: str, files: dict[str, str | bytes] | None = None, **scripts: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n", **(files or {})}, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


ACCOUNT = (
    "adduser --quiet --system --group --home /var/lib/tidyd --no-create-home tidyd; "
    "mkdir -p /var/lib/tidyd; chown tidyd /var/lib/tidyd"
)
USER = _toy("tidyd", postinst=ACCOUNT)
DIVERT = _toy(
    "tidy-find",
    {"/usr/bin/toy-find": "tidy\n"},
    preinst="dpkg-divert --package tidy-find --add --rename --divert /usr/bin/toy-find.real /usr/bin/toy-find",
)
EDITOR = Toy(
    "tidy-editor",
    files={"/usr/bin/tidy-editor": "x\n"},
    modes={"/usr/bin/tidy-editor": 0o755},
    scripts={
        "postinst": "update-alternatives --install /usr/bin/toy-editor toy-editor /usr/bin/tidy-editor 20"
    },
)
TMPFILES = _toy(
    "tidy-tmp",
    {
        "/usr/lib/tmpfiles.d/tidy-tmp.conf": "d /run/tidy-tmp 0755 root root -\nd /var/cache/tidy-tmp 0755 root root 7d\n"
    },
    postinst="systemd-tmpfiles --create tidy-tmp.conf",
    prerm="rm -rf /run/tidy-tmp /var/cache/tidy-tmp",
)
PRESET = _toy(
    "tidy-unit",
    {
        "/usr/lib/systemd/system/tidy-unit.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
        "/usr/lib/systemd/system/tidy-unit.service": "[Service]\nExecStart=/bin/true\n",
    },
    postinst="systemctl preset tidy-unit.timer > /dev/null 2>&1 || true; "
    "if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi",
)
SYSUSERS = _toy(
    "tidy-sys",
    {"/usr/lib/sysusers.d/tidy-sys.conf": 'u tidysys - "without a home"\nm tidysys adm\n'},
    postinst="systemd-sysusers tidy-sys.conf",
)
DEVICE = _toy(
    "tidy-device",
    postinst="chmod 666 /dev/null; mkdir -p /dev/tidy-device; echo x > /dev/tidy-device/state; "
    "[ -e /dev/null ] || mknod -m 666 /dev/null c 1 3; [ -p /dev/tidy-pipe ] || mknod /dev/tidy-pipe p",
    postrm=_on(
        "purge",
        "LOGFILE=/dev/null; echo removing > $LOGFILE; rm -rf /dev/tidy-device; mkdir -p /dev/tidy-past",
    ),
)
LOCALLY = _toy(
    "pylocal",
    postinst="mkdir -p /usr/local/lib/python3.11/dist-packages",
    prerm="rmdir /usr/local/lib/python3.11/dist-packages /usr/local/lib/python3.11 2> /dev/null || true",
)

INCIDENTS = (
    harmless(
        "a package makes an account with a directory of its own",
        install(USER),
        present=(USER,),
        made=("/var/lib/tidyd",),
    ),
    harmless(
        "a purge keeps the account that the package made",
        purge("tidyd"),
        installed=(USER,),
        kept=("/var/lib/tidyd",),
        gone=("/usr/share/tidyd/README",),
    ),
    harmless(
        "a purge on a machine that shows its /var once more in somebody's jail, and its root to a backup",
        purge("tidyd"),
        installed=(USER,),
        precondition="mkdir -p /home/anna/jail/var /mnt/backup; mount --bind /var /home/anna/jail/var; "
        "mount --bind / /mnt/backup",
        gone=("/usr/share/tidyd/README",),
    ),
    harmless(
        "a purge removes the package's own account without its home",
        purge("tidyd"),
        installed=(
            _toy(
                "tidyd",
                postinst=ACCOUNT,
                postrm=_on("purge", "deluser --quiet --system tidyd; rm -rf /var/lib/tidyd"),
            ),
        ),
        gone=("/var/lib/tidyd",),
    ),
    harmless(
        "a package makes its account a member of a group and takes that back",
        purge("tidyd"),
        installed=(
            _toy(
                "tidyd",
                postinst=ACCOUNT + "; adduser --quiet tidyd adm",
                postrm=_on("purge", "deluser --quiet tidyd adm; deluser --quiet --system tidyd"),
            ),
        ),
        kept=("/var/lib/tidyd",),
        gone=("/usr/share/tidyd/README",),
    ),
    Incident(
        "sysusers makes an account for which nobody wrote down a home, which is told and goes through",
        "benign",
        install(SYSUSERS),
        verdict="allow",
        present=(SYSUSERS,),
        told=(Told("account-home", account="tidysys", script="postinst configure", severity="warn"),),
        made=("/usr/lib/sysusers.d/tidy-sys.conf",),
    ),
    harmless(
        "a package diverts a file of another one and puts its own there",
        install(DIVERT),
        installed=(Toy("real-find", files={"/usr/bin/toy-find": "real\n"}),),
        present=(DIVERT,),
        kept=("/usr/bin/toy-find",),
        made=("/usr/bin/toy-find.real",),
    ),
    harmless(
        "a package registers a better alternative",
        install(EDITOR),
        installed=(Toy("plain-editor", files={"/usr/bin/plain-editor": "x\n"}),),
        present=(EDITOR,),
        precondition="chmod 755 /usr/bin/plain-editor; "
        "update-alternatives --install /usr/bin/toy-editor toy-editor /usr/bin/plain-editor 10",
        kept=("/usr/bin/toy-editor",),
        made=("/usr/bin/tidy-editor",),
    ),
    harmless(
        "a removal deletes what tmpfiles made for the package",
        remove("tidy-tmp"),
        installed=(TMPFILES,),
        precondition="echo x > /var/cache/tidy-tmp/x; echo x > /run/tidy-tmp/x",
        gone=("/run/tidy-tmp", "/var/cache/tidy-tmp"),
    ),
    harmless(
        "a unit is enabled as the preset says",
        install(PRESET),
        present=(PRESET,),
        made=("/usr/lib/systemd/system/tidy-unit.timer",),
    ),
    harmless(
        "a package with a job of its own for every day is installed",
        install(_toy("tidy-cron", {"/etc/cron.daily/tidy-cron": "#!/bin/sh\nexit 0\n"})),
        present=(_toy("tidy-cron", {"/etc/cron.daily/tidy-cron": "#!/bin/sh\nexit 0\n"}),),
        made=("/etc/cron.daily/tidy-cron",),
    ),
    harmless(
        "the linker's cache is made anew after a library has come",
        install(
            Toy(
                "libneat1",
                files={"/usr/lib/libneat.so.1": "x\n"},
                control_files={"triggers": "activate-noawait ldconfig\n"},
            )
        ),
        present=(
            Toy(
                "libneat1",
                files={"/usr/lib/libneat.so.1": "x\n"},
                control_files={"triggers": "activate-noawait ldconfig\n"},
            ),
        ),
        made=("/usr/lib/libneat.so.1",),
    ),
    harmless(
        "a package makes an empty directory below local and takes it back",
        remove("pylocal"),
        installed=(LOCALLY,),
        gone=("/usr/local/lib/python3.11",),
    ),
    harmless(
        "a package adds a line to the list of shells and takes it out again",
        purge("tidy-shell"),
        installed=(
            _toy(
                "tidy-shell",
                {"/usr/bin/tidy-shell": "x\n"},
                postinst="add-shell /usr/bin/tidy-shell",
                postrm=_on("remove", "remove-shell /usr/bin/tidy-shell"),
            ),
        ),
        kept=("/etc/shells",),
        gone=("/usr/bin/tidy-shell",),
    ),
    harmless(
        "an installation leaves other people's files alone although it makes new ones beside them",
        install(
            _toy(
                "tidy-web", postinst="mkdir -p /var/www/tidy /srv/tidy; echo page > /var/www/tidy/index.html"
            )
        ),
        present=(
            _toy(
                "tidy-web", postinst="mkdir -p /var/www/tidy /srv/tidy; echo page > /var/www/tidy/index.html"
            ),
        ),
        precondition="mkdir -p /var/www/mine; echo mine > /var/www/mine/index.html",
        kept=("/var/www/mine/index.html",),
        made=("/var/www/tidy/index.html",),
    ),
    harmless(
        "a package that is not protected is removed by the administrator's own words",
        remove("office-part01"),
        installed=(_toy("office-part01"), _toy("office-part02")),
        kept=("/usr/share/office-part02/README",),
        gone=("/usr/share/office-part01/README",),
    ),
    harmless(
        "one boot loader takes the place of another",
        install(
            Toy("grub-efi-amd64", files={"/usr/share/ge/README": "x\n"}, fields={"Conflicts": "grub-pc"})
        ),
        installed=(_toy("grub-pc"),),
        present=(
            Toy("grub-efi-amd64", files={"/usr/share/ge/README": "x\n"}, fields={"Conflicts": "grub-pc"}),
        ),
        gone=("/usr/share/grub-pc/README",),
        made=("/usr/share/ge/README",),
    ),
    harmless(
        "a package makes a directory and a FIFO of its own in /dev",
        install(DEVICE),
        present=(DEVICE,),
        made=("/dev/tidy-device/state",),
    ),
    harmless(
        "a purge writes to the null device and clears up what it has in /dev",
        purge("tidy-device"),
        installed=(DEVICE,),
        kept=("/dev/null",),
        gone=("/dev/tidy-device/state",),
        made=("/dev/tidy-past",),
    ),
)
