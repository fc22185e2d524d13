# SPDX-License-Identifier: GPL-3.0-or-later
"""Class I: the deed is done by somebody else: a server, a service, a device, a job that runs later."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from incidents.incident import Incident, Told, Toy, install, purge, remove

NO_FILES: Mapping[str, str] = MappingProxyType({})


def _toy(name: str, files: Mapping[str, str] = NO_FILES, **scripts: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n", **files}, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


NETDATA = _toy("nd-updater", postinst='dest=/dev/null; rm -f "$dest" || true')
CRON = _toy("nd-cron", postinst="printf '#!/bin/sh\\nrm -f /dev/null\\n' > /etc/cron.daily/nd-updater")
DISARMS = _toy(
    "disarms",
    postinst="rm -f /etc/dpkg/dpkg.cfg.d/aptguard; sed -i s/Pre-Install/Pre/ /etc/apt/apt.conf.d/05aptguard",
)
ZAP = _toy("ceph-zap", postinst="mknod /var/tmp/osd b 8 0 || true; rm -f /var/tmp/osd")

INCIDENTS = (
    Incident(
        "the purge drops a database on another host over the network",
        "I1 onlyoffice-drop",
        purge("only-office"),
        verdict="allow",
        installed=(
            Toy("pg-client", files={"/usr/bin/psql": "#!/bin/sh\nexit 2\n"}, modes={"/usr/bin/psql": 0o755}),
            _toy("only-office", postrm=_on("purge", 'psql -h 192.0.2.1 -c "DROP SCHEMA public" || true')),
        ),
        effects=("psql -h 192.0.2.1 -c DROP SCHEMA public",),
        gone=("/usr/share/only-office/README",),
    ),
    Incident(
        "the purge asks a server on the same machine by its socket to drop the databases",
        "I2 rpki-purge",
        purge("rpki"),
        verdict="allow",
        installed=(
            Toy(
                "my-client", files={"/usr/bin/mysql": "#!/bin/sh\nexit 1\n"}, modes={"/usr/bin/mysql": 0o755}
            ),
            _toy(
                "rpki",
                files={"/usr/share/rpki/drop.sql": "DROP DATABASE rpki;\n"},
                prerm=_on(
                    "remove", "mysql --socket=/run/mysqld/mysqld.sock < /usr/share/rpki/drop.sql || true"
                ),
            ),
        ),
        effects=("mysql --socket=/run/mysqld/mysqld.sock",),
        gone=("/usr/share/rpki/README",),
    ),
    Incident(
        "the removal kills by name whatever runs on the machine",
        "I4 wazuh-kills-containers",
        remove("wazoo"),
        verdict="allow",
        installed=(_toy("wazoo", prerm="pkill wazoo-agent || true; systemctl stop wazoo || true"),),
        effects=("wazoo",),
        gone=("/usr/share/wazoo/README",),
    ),
    Incident(
        "a failed download is cleaned up, and its name is the null device",
        "I5 netdata-dev-null",
        install(NETDATA),
        present=(NETDATA,),
        told=(Told("device-nodes", path="/dev/null", script="postinst configure"),),
        kept=("/dev/null",),
    ),
    Incident(
        "the purge deletes its log file, which is the null device, and nobody hears what rm says",
        "I5 netdata-dev-null",
        purge("quiet-log"),
        installed=(
            _toy(
                "quiet-log",
                postrm=_on("purge", 'LOGFILE=/dev/null; rm -f "$LOGFILE" 2> /dev/null || true'),
            ),
        ),
        told=(Told("device-nodes", path="/dev/null", script="postrm purge"),),
        kept=("/dev/null",),
    ),
    Incident(
        "the removal closes its log file to others, and puts another in the place of a device",
        "I5 netdata-dev-null",
        remove("closed-log"),
        installed=(
            _toy(
                "closed-log",
                prerm="chmod 600 /dev/null 2> /dev/null; : > /tmp/closed; mv -f /tmp/closed /dev/full",
            ),
        ),
        told=(
            Told("device-nodes", path="/dev/null", script="prerm remove"),
            Told("device-nodes", path="/dev/full", script="prerm remove"),
        ),
        kept=("/dev/null", "/dev/full"),
    ),
    Incident(
        "the installation takes the guard's own hooks away, so that nobody is asked any more",
        "I10 guard-disarmed",
        install(DISARMS),
        present=(DISARMS,),
        told=(
            Told("guard-hooks", path="/etc/dpkg/dpkg.cfg.d/aptguard", script="postinst configure"),
            Told("guard-hooks", path="/etc/apt/apt.conf.d/05aptguard", script="postinst configure"),
        ),
        kept=("/etc/dpkg/dpkg.cfg.d/aptguard", "/etc/apt/apt.conf.d/05aptguard"),
    ),
    Incident(
        "a script adds a job that will run every day",
        "I5 netdata-dev-null",
        install(CRON),
        verdict="allow",
        present=(CRON,),
        told=(
            Told(
                "deferred-execution",
                path="/etc/cron.daily/nd-updater",
                script="postinst configure",
                severity="warn",
            ),
        ),
        made=("/etc/cron.daily/nd-updater",),
    ),
    Incident(
        "the tool that cleans up temporary files is told to remove more than those",
        "I6 tmpfiles-purge",
        purge("tmpf"),
        installed=(
            Toy(
                "tmpf",
                files={"/usr/share/tmpf/clean.conf": "R /srv/shared - - - -\nR /home/* - - - -\n"},
                scripts={"prerm": "systemd-tmpfiles --remove /usr/share/tmpf/clean.conf"},
            ),
        ),
        precondition="mkdir -p /srv/shared; echo data > /srv/shared/data",
        told=(Told("local-data", path="/srv/shared/data", script="prerm remove"),),
        kept=("/srv/shared/data",),
    ),
    Incident(
        "the upgrade of the boot loader removes the files of the one that is in use",
        "I7 pop-upgrade-efi",
        remove("pop-upgrade"),
        installed=(_toy("pop-upgrade", prerm="rm -rf /boot/efi/EFI/systemd"),),
        precondition="mkdir -p /boot/efi/EFI/systemd; echo x > /boot/efi/EFI/systemd/systemd-bootx64.efi",
        told=(
            Told("efi-boot-loaders", path="/boot/efi/EFI/systemd/systemd-bootx64.efi", script="prerm remove"),
        ),
        kept=("/boot/efi/EFI/systemd/systemd-bootx64.efi",),
    ),
    Incident(
        "the uninstaller deletes all jobs of the superuser to get rid of one",
        "I8 crontab-r",
        remove("wg-manager"),
        installed=(_toy("wg-manager", prerm="rm -f /var/spool/cron/crontabs/root"),),
        precondition="mkdir -p /var/spool/cron/crontabs; echo '@daily backup' > /var/spool/cron/crontabs/root",
        told=(Told("cron-jobs", path="/var/spool/cron/crontabs/root", script="prerm remove"),),
        kept=("/var/spool/cron/crontabs/root",),
    ),
    Incident(
        "a service that is started after the installation will do what nobody rehearsed",
        "I9 first-start-wipes",
        install(_toy("first-start", postinst="systemctl start first-start || true")),
        verdict="allow",
        present=(_toy("first-start", postinst="systemctl start first-start || true"),),
        effects=("start first-start",),
        made=("/usr/share/first-start/README",),
    ),
    Incident(
        "the removal unmounts a volume of the administrator",
        "I10 k8s-unmount",
        remove("kube-reset"),
        installed=(_toy("kube-reset", prerm="umount /srv/volume || true"),),
        verdict="unknown",
        precondition="mkdir -p /srv/volume; mount -t tmpfs volume /srv/volume; echo x > /srv/volume/x",
        effects=("umount /srv/volume",),
        kept=("/usr/share/kube-reset/README",),
    ),
    Incident(
        "the removal deletes what it believes to be an empty mount point, once it has unmounted the volume",
        "I10 unmount-then-delete",
        remove("unmounter"),
        installed=(_toy("unmounter", prerm="if umount /srv/volume; then rm -rf /srv/archive; fi"),),
        verdict="unknown",
        precondition="mkdir -p /srv/volume /srv/archive; mount -t tmpfs volume /srv/volume; echo x > /srv/archive/x",
        effects=("unclear: would run umount /srv/volume",),
        kept=("/srv/archive/x", "/usr/share/unmounter/README"),
    ),
    Incident(
        "the purge has somebody else delete its data, and with it all of them",
        "I start-stop-daemon-deletes",
        purge("cleaner"),
        installed=(
            _toy(
                "cleaner",
                postrm='case "$1" in purge) '
                "start-stop-daemon --start --quiet --exec /bin/rm -- -rf /srv/archive ;; esac",
            ),
        ),
        precondition="mkdir -p /srv/archive; echo x > /srv/archive/x",
        told=(Told("local-data", path="/srv/archive", script="postrm purge"),),
        kept=("/srv/archive/x",),
    ),
    Incident(
        "the installation makes the device of a disk and would write to it",
        "I12 ceph-zap",
        install(ZAP),
        present=(ZAP,),
        verdict="unknown",
        effects=("device",),
        made=("/usr/share/ceph-zap/README",),
    ),
    Incident(
        "a job in the background outlives its script and deletes when the script is gone",
        "I1 onlyoffice-drop",
        purge("background"),
        installed=(
            _toy(
                "background",
                # dash takes `&>` for a command in the background and a redirection.
                postrm=_on(
                    "purge",
                    "parent=$$; (while kill -0 $parent 2> /dev/null; do sleep 0.02; done; "
                    "rm -rf /srv/data) &> /dev/null || exit 1",
                ),
            ),
        ),
        precondition="mkdir -p /srv/data; echo rows > /srv/data/rows",
        told=(Told("local-data", path="/srv/data/rows"),),
        kept=("/srv/data/rows",),
    ),
)
