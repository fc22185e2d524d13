# SPDX-License-Identifier: GPL-3.0-or-later
"""Class D: a package deletes or hides files of another package, or of nobody."""

from __future__ import annotations

from dataclasses import replace

from incidents.incident import Incident, Told, Toy, harmless, install, purge, remove


def _toy(name: str, **scripts: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n"}, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


OLD_DKIM = Toy("old-dkim", files={"/usr/bin/dkim-sign": "old\n", "/usr/share/old-dkim/README": "x\n"})
NEW_DKIM = Toy(
    "new-dkim",
    files={"/usr/bin/dkim-sign": "new\n"},
    fields={"Replaces": "old-dkim"},
)
INCUS = Toy("incuse", "1.0", files={"/usr/share/incuse/README": "x\n", "/lib/incuse/tool": "x\n"})
INCUS_NEW = Toy("incuse", "2.0", files={"/usr/share/incuse/README": "x\n"})
INCUS_BASE = Toy(
    "incuse-base",
    "2.0",
    files={"/usr/lib/incuse/tool": "x\n"},
    fields={"Replaces": "incuse (<< 2.0)", "Breaks": "incuse (<< 2.0)"},
)
LSB = _toy("lsb-cores", postinst="rm -f /lib64")
PIP = _toy("find-shop", postinst="rm -f $(command -v find)")
OPEN_R = _toy("r-open", postinst="ln -sf bash /bin/sh")
DELPHIX = Toy(
    "appliance",
    "2.0",
    files={"/usr/share/appliance/README": "x\n"},
    scripts={"postinst": "rm -f /etc/kernel-hooks/zz-update"},
)
MEDIA_VAULT = _toy("media-vault", postinst="printf 'PermitRootLogin yes\\n' > /etc/sshy/sshd_config")
SYS_MODS = _toy(
    "sys-mods",
    postinst="mkdir -p /etc/sudoers.d; echo 'pi ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/010_pi-nopasswd",
)
LEO = Toy(
    "leo",
    "1.0",
    files={"/opt/leo/bin/adm": "x\n"},
    modes={"/opt/leo/bin/adm": 0o755},
    scripts={
        "preinst": "[ ! -e /opt/leo/bin/adm ] || "
        "update-alternatives --install /usr/bin/leo-adm leo-adm /opt/leo/bin/adm 10",
        "postrm": "update-alternatives --remove leo-adm /opt/leo/bin/adm",
    },
)
OPT_ONLY = Toy("couch-opt", files={"/opt/couch/bin": "x\n"})

INCIDENTS = (
    Incident(
        "the purge of the old server deletes the databases of the one that runs",
        "D1 mysql-vs-mariadb",
        purge("mysqld-old"),
        installed=(
            Toy(
                "mysqld-old",
                files={"/etc/mysqld-old.cnf": "x\n"},
                scripts={"postrm": _on("purge", "rm -rf /var/lib/mysql")},
            ),
            Toy("mariadb-toy", files={"/var/lib/mysql/": ""}),
        ),
        precondition="dpkg -r mysqld-old; mkdir /var/lib/mysql/shop; echo rows > /var/lib/mysql/shop/order.ibd",
        told=(Told("databases", path="/var/lib/mysql/shop/order.ibd", script="postrm purge"),),
        also=frozenset({"foreign-file"}),
        kept=("/var/lib/mysql/shop/order.ibd",),
    ),
    Incident(
        "the purge deletes a directory that another package ships too",
        "D2 hylafax-shared-spool",
        purge("hylafax"),
        installed=(
            Toy(
                "hylafax",
                files={"/var/spool/hylafax/etc/": "", "/usr/share/hylafax/README": "x\n"},
                scripts={"postrm": _on("purge", "rm -rf /var/spool/hylafax/etc")},
            ),
            Toy("capi-fax", files={"/var/spool/hylafax/etc/config.faxCAPI": "x\n"}),
        ),
        told=(Told("foreign-file", path="/var/spool/hylafax/etc/config.faxCAPI", script="postrm purge"),),
        kept=("/var/spool/hylafax/etc/config.faxCAPI",),
    ),
    Incident(
        "the removal gives a shared directory to another owner",
        "D2 hylafax-shared-spool",
        remove("hylafax"),
        installed=(
            Toy(
                "hylafax",
                files={"/var/spool/faxes/in/": "", "/usr/share/hylafax/README": "x\n"},
                scripts={"prerm": "chown -R games /var/spool/faxes"},
            ),
            Toy("capi-fax", files={"/var/spool/faxes/in/": "", "/var/spool/faxes/queue": "x\n"}),
        ),
        told=(Told("foreign-file", path="/var/spool/faxes/queue", script="prerm remove"),),
        kept=("/var/spool/faxes/queue",),
    ),
    Incident(
        "dpkg itself removes a file that the new package had taken from one that stays",
        "D3 replaces-without-breaks",
        remove("new-dkim"),
        installed=(OLD_DKIM, NEW_DKIM),
        told=(Told("lost-payload", path="/usr/bin/dkim-sign"),),
        kept=("/usr/bin/dkim-sign",),
    ),
    Incident(
        "dpkg itself removes a file that moved to another package and to its real directory at once",
        "D4 dep17-aliasing",
        f"dpkg -B -i {INCUS_BASE.archive} {INCUS_NEW.archive}",
        installed=(INCUS,),
        present=(INCUS_BASE, INCUS_NEW),
        told=(Told("lost-payload", path="/usr/lib/incuse/tool"),),
        kept=("/usr/lib/incuse/tool",),
    ),
    Incident(
        "the link through which every program finds its loader is dropped",
        "D5 lib64-symlink",
        install(LSB),
        present=(LSB,),
        told=(Told("top-level-directory", path="/lib64", script="postinst configure"),),
        kept=("/lib64",),
    ),
    Incident(
        "the purge deletes a program that no package lists",
        "D6 hiawatha-sv",
        purge("hiawatha"),
        installed=(_toy("hiawatha", postrm=_on("purge", "rm -f /usr/bin/sv")),),
        precondition="echo runit > /usr/bin/sv",
        told=(Told("unowned-file", path="/usr/bin/sv", script="postrm purge"),),
        kept=("/usr/bin/sv",),
    ),
    Incident(
        "a script removes a program of its own name and finds the system's",
        "D7 pip-usr-bin-find",
        install(PIP),
        present=(PIP,),
        told=(Told("foreign-file", path="/usr/bin/find", script="postinst configure"),),
        kept=("/usr/bin/find",),
    ),
    Incident(
        "a list of files that is too wide takes all Python packages along",
        "D8 pip-site-packages",
        remove("onyx"),
        installed=(_toy("onyx", prerm="rm -rf /usr/lib/python3/dist-packages"),),
        told=(Told("foreign-file", script="prerm remove"),),
        also=frozenset({"lost-payload", "unowned-file"}),
        kept=("/usr/lib/python3/dist-packages/apt/__init__.py",),
    ),
    Incident(
        "the purge of a removed twin deletes the configuration that the living one lists",
        "D9 exim-shared-conffile",
        purge("exi-tls"),
        installed=(
            Toy(
                "exi-tls",
                files={"/etc/exi-tls.conf": "x\n"},
                scripts={"postrm": _on("purge", "rm -f /etc/exi/exi.conf")},
            ),
            Toy("exi", files={"/etc/exi/exi.conf": "relay\n"}),
        ),
        precondition="dpkg -r exi-tls; echo edited >> /etc/exi/exi.conf",
        told=(Told("foreign-file", path="/etc/exi/exi.conf", script="postrm purge"),),
        kept=("/etc/exi/exi.conf",),
    ),
    Incident(
        "dpkg itself removes the directory opt when its last package goes",
        "D10 opt-removed",
        purge("couch-opt"),
        installed=(OPT_ONLY,),
        told=(Told("top-level-directory", path="/opt"),),
        kept=("/opt/couch/bin",),
    ),
    Incident(
        "the removal climbs up from an empty directory to one of the system",
        "D11 rmdir-parents",
        remove("tsdb"),
        installed=(_toy("tsdb", postinst="mkdir -p /srv/tsdb", prerm="rmdir --parents /srv/tsdb || true"),),
        told=(Told("top-level-directory", path="/srv", script="prerm remove"),),
        also=frozenset({"local-data"}),
        kept=("/srv",),
    ),
    Incident(
        "the old version takes the alternative away that the new one has just registered",
        "D12 alternatives-lost",
        install(replace(LEO, version="1.1")),
        installed=(LEO,),
        precondition="update-alternatives --install /usr/bin/leo-adm leo-adm /opt/leo/bin/adm 10",
        present=(replace(LEO, version="1.1"),),
        told=(Told("lost-payload", path="/usr/bin/leo-adm", script="postrm upgrade"),),
        kept=("/usr/bin/leo-adm",),
    ),
    Incident(
        "the installation makes the system's shell another one",
        "D13 r-open-bin-sh",
        install(OPEN_R),
        present=(OPEN_R,),
        told=(Told("foreign-file", path="/usr/bin/sh", script="postinst configure"),),
        kept=("/usr/bin/sh",),
    ),
    Incident(
        "the upgrade deletes an obsolete conffile that meanwhile belongs to another package",
        "D14 delphix-obsolete-conffiles",
        install(DELPHIX),
        installed=(
            replace(DELPHIX, version="1.0", scripts={}),
            Toy("kernel-hooks", files={"/etc/kernel-hooks/zz-update": "x\n"}),
        ),
        present=(DELPHIX,),
        told=(Told("foreign-file", path="/etc/kernel-hooks/zz-update", script="postinst configure"),),
        kept=("/etc/kernel-hooks/zz-update",),
    ),
    Incident(
        "the installation rewrites the configuration of the ssh server",
        "D15 openmediavault-sshd",
        install(MEDIA_VAULT),
        installed=(Toy("sshy-server", files={"/etc/sshy/sshd_config": "PermitRootLogin no\n"}),),
        present=(MEDIA_VAULT,),
        told=(Told("foreign-file", path="/etc/sshy/sshd_config", script="postinst configure"),),
        kept=("/etc/sshy/sshd_config",),
    ),
    Incident(
        "the installation gives an account the right to act as root without a password",
        "D16 sys-mods-nopasswd",
        install(SYS_MODS),
        verdict="allow",
        present=(SYS_MODS,),
        told=(
            Told(
                "deferred-execution",
                path="/etc/sudoers.d/010_pi-nopasswd",
                script="postinst configure",
                severity="warn",
            ),
        ),
        made=("/etc/sudoers.d/010_pi-nopasswd",),
    ),
    Incident(
        "the administrator's link to a disk of data is removed as if it were the directory",
        "D17 hpcc-symlink",
        remove("hpcc"),
        installed=(_toy("hpcc", prerm="rm -rf /opt/hpcc"),),
        precondition="mkdir -p /srv/hpcc && echo data > /srv/hpcc/data && ln -s /srv/hpcc /opt/hpcc",
        told=(Told("local-data", path="/opt/hpcc", script="prerm remove"),),
        kept=("/opt/hpcc", "/srv/hpcc/data"),
    ),
    Incident(
        "the purge deletes what may be a file of a package whose file list is lost",
        "D lost-file-list",
        purge("list-user"),
        verdict="unknown",
        installed=(
            _toy("list-loser"),
            _toy(
                "list-user",
                postinst="mkdir -p /var/lib/list-user",
                postrm='[ "$1" != purge ] || rm -rf /var/lib/list-user',
            ),
        ),
        precondition="rm /var/lib/dpkg/info/list-loser.list; echo x > /var/lib/list-user/plugin",
        kept=("/var/lib/list-user/plugin", "/usr/share/list-user/README"),
    ),
    harmless(
        "the purge of a package is none the worse for the lost file list of another one",
        purge("list-bystander"),
        installed=(
            _toy("list-loser"),
            _toy(
                "list-bystander",
                postinst="adduser --quiet --system --no-create-home --home /nonexistent list-bystander",
                postrm='[ "$1" != purge ] || deluser --quiet list-bystander',
            ),
        ),
        precondition="rm /var/lib/dpkg/info/list-loser.list",
        gone=("/usr/share/list-bystander/README",),
        kept=("/usr/share/list-loser/README",),
    ),
)
