# SPDX-License-Identifier: GPL-3.0-or-later
"""Further rows of all classes: what the other modules have in another shape only, and what triggers do."""

from __future__ import annotations

from dataclasses import replace

from incidents.incident import Incident, Told, Toy, harmless, install, purge


def _toy(name: str, version: str = "1.0", **scripts: str) -> Toy:
    return Toy(name, version, files={f"/usr/share/{name}/README": "x\n"}, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


def _declares(home: str) -> Toy:
    line = f'u ws-cockpit - "Web console" {home}\n'
    return Toy("ws-cockpit", files={"/usr/lib/sysusers.d/ws-cockpit.conf": line})


# What systemd-sysusers does, without systemd.
SYSUSERS = (
    "getent passwd ws-cockpit > /dev/null || "
    "useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin ws-cockpit"
)
MADE_AT_ONCE = replace(_declares("/"), scripts={"postinst": SYSUSERS})
OFFLINE = Toy(
    "offline-web",
    files={"/etc/offline-web/main.conf": "shipped\n"},
    scripts={"postrm": _on("purge", "rm -rf /etc/offline-web")},
)
UDA = Toy(
    "uda",
    files={"/usr/lib/uda/libuda.so": "1\n"},
    scripts={"postrm": "rm -rf /usr/lib/uda"},
)
SBT = Toy(
    "sbt-made",
    files={"/etc/sbt-made/application.conf": "x = 1\n"},
    scripts={"postrm": "rm -rf /etc/sbt-made"},
)
GENIE = Toy(
    "genie-plugins",
    files={"/usr/lib/genie/plugins/core.so": "1\n"},
    scripts={"prerm": "rm -rf /usr/lib/genie/plugins"},
)
MOUNTED = Toy("nebula", files={"/srv/nebula/datastore/": "", "/usr/share/nebula/README": "x\n"})
INDEXER = Toy(
    "indexer",
    files={"/usr/share/indexer/README": "x\n"},
    scripts={"postinst": _on("triggered", "rm -rf /srv/index/*; mkdir -p /var/cache/indexer")},
    control_files={"triggers": "interest-noawait /usr/share/indexed\n"},
)
INDEXED = Toy("indexed", files={"/usr/share/indexed/page": "x\n"})
TIDY_INDEXER = Toy(
    "tidy-indexer",
    files={"/usr/share/tidy-indexer/README": "x\n"},
    scripts={
        "postinst": _on("triggered", "mkdir -p /var/lib/tidy-indexer; ls > /var/lib/tidy-indexer/index"),
    },
    control_files={"triggers": "interest-noawait /usr/share/indexed\n"},
)


def _upgrade(toy: Toy) -> str:
    return install(replace(toy, version="2.0"))


INCIDENTS = (
    Incident(
        "the installation declares an account whose home is the root directory",
        "A2 cockpit-ws-home-root",
        install(MADE_AT_ONCE),
        verdict="allow",
        present=(MADE_AT_ONCE,),
        told=(Told("account-home", account="ws-cockpit", script="postinst configure", severity="warn"),),
        made=("/usr/lib/sysusers.d/ws-cockpit.conf",),
    ),
    Incident(
        "the next boot will make an account whose home is a directory of the system",
        "A2 cockpit-ws-home-root",
        install(_declares("/var/lib")),
        verdict="allow",
        present=(_declares("/var/lib"),),
        told=(Told("account-home", account="ws-cockpit", severity="warn"),),
        made=("/usr/lib/sysusers.d/ws-cockpit.conf",),
    ),
    Incident(
        "the purge deletes the page that a user had put among the configuration",
        "C2 wwwoffle-private",
        purge("offline-web"),
        verdict="allow",
        installed=(OFFLINE,),
        precondition="mkdir -p /etc/offline-web/html; echo mine > /etc/offline-web/html/start.html",
        told=(
            Told("added-file", "/etc/offline-web/html/start.html", script="postrm purge", severity="warn"),
        ),
        gone=("/etc/offline-web/html/start.html",),
    ),
    Incident(
        "the purge deletes the dated copy that was made of a conffile",
        "C3 etc-foo-backups",
        purge("offline-web"),
        verdict="allow",
        installed=(OFFLINE,),
        precondition="echo edited >> /etc/offline-web/main.conf; "
        "cp /etc/offline-web/main.conf /etc/offline-web/main.conf.2026-11-22",
        told=(
            Told(
                "added-file", "/etc/offline-web/main.conf.2026-11-22", script="postrm purge", severity="warn"
            ),
        ),
        gone=("/etc/offline-web/main.conf.2026-11-22",),
    ),
    Incident(
        "the upgrade deletes the library by a template that knows no argument",
        "E13 uda-rpm",
        _upgrade(UDA),
        installed=(UDA,),
        present=(replace(UDA, version="2.0"),),
        told=(Told("lost-payload", path="/usr/lib/uda/libuda.so", script="postrm upgrade"),),
        kept=("/usr/lib/uda/libuda.so",),
    ),
    Incident(
        "a generator writes the same deletion of the configuration into every package it makes",
        "E16 sbt-native-packager",
        _upgrade(SBT),
        installed=(SBT,),
        present=(replace(SBT, version="2.0"),),
        precondition="echo 'x = 2' > /etc/sbt-made/application.conf; echo mine > /etc/sbt-made/local.conf",
        told=(
            Told("lost-payload", path="/etc/sbt-made/application.conf", script="postrm upgrade"),
            Told("remove-deletes-data", path="/etc/sbt-made/local.conf"),
        ),
        kept=("/etc/sbt-made/application.conf", "/etc/sbt-made/local.conf"),
    ),
    Incident(
        "the plug-ins that the administrator built go with every upgrade",
        "E17 genie",
        _upgrade(GENIE),
        installed=(GENIE,),
        present=(replace(GENIE, version="2.0"),),
        precondition="mkdir -p /usr/local/lib/genie; echo built > /usr/local/lib/genie/ours.so; "
        "mv /usr/lib/genie/plugins/* /usr/local/lib/genie/; rmdir /usr/lib/genie/plugins; "
        "ln -s /usr/local/lib/genie /usr/lib/genie/plugins; "
        "sed -i 's|plugins|plugins/*|' /var/lib/dpkg/info/genie-plugins.prerm",
        told=(Told("local-data", path="/usr/local/lib/genie/ours.so", script="prerm upgrade"),),
        also=frozenset({"lost-payload", "foreign-file"}),
        kept=("/usr/local/lib/genie/ours.so",),
    ),
    Incident(
        "the purge follows the link to where the administrator had moved the data",
        "F5 pg-readlink",
        purge("pgx"),
        installed=(
            _toy(
                "pgx",
                postinst="mkdir -p /var/lib/pgx/main",
                postrm=_on("purge", "rm -rf $(readlink -f /var/lib/pgx/main) /var/lib/pgx/main"),
            ),
        ),
        precondition="mkdir -p /srv; mv /var/lib/pgx/main /srv/pgx; echo rows > /srv/pgx/rows; "
        "ln -s /srv/pgx /var/lib/pgx/main",
        told=(Told("local-data", path="/srv/pgx/rows", script="postrm purge"),),
        kept=("/srv/pgx/rows",),
    ),
    Incident(
        "an uninstaller has apt purge all that its program once needed, and others need it too",
        "H8 mailcow-purge",
        "sh /usr/share/mail-cow/uninstall",
        installed=(
            Toy(
                "mail-cow",
                files={"/usr/share/mail-cow/uninstall": "apt-get -y purge mail-cow cow-web\n"},
            ),
            _toy("cow-web", postrm=_on("purge", "rm -rf /var/www/*")),
        ),
        precondition="mkdir -p /var/www/shop; echo shop > /var/www/shop/index.html",
        told=(Told("web-sites", path="/var/www/shop/index.html", script="postrm purge"),),
        kept=("/var/www/shop/index.html", "/usr/share/mail-cow/uninstall"),
    ),
    Incident(
        "the purge drops the database that has the default name, whoever uses it",
        "I3 dolibarr-purge",
        purge("doli"),
        verdict="allow",
        installed=(
            Toy(
                "doli-client",
                files={"/usr/bin/mysqladmin": "#!/bin/sh\nexit 1\n"},
                modes={"/usr/bin/mysqladmin": 0o755},
            ),
            _toy("doli", postrm=_on("purge", "mysqladmin --force drop doli || true")),
        ),
        effects=("mysqladmin --force drop doli",),
        gone=("/usr/share/doli/README",),
    ),
    Incident(
        "an installer clears the firmware's partition for its own boot loader",
        "I11 fedora-installer-efi",
        install(_toy("clean-boot", postinst="rm -rf /boot/efi/EFI; mkdir -p /boot/efi/EFI/clean")),
        present=(_toy("clean-boot", postinst="rm -rf /boot/efi/EFI; mkdir -p /boot/efi/EFI/clean"),),
        precondition="mkdir -p /boot/efi/EFI/other; echo x > /boot/efi/EFI/other/loader.efi",
        told=(Told("efi-boot-loaders", path="/boot/efi/EFI/other/loader.efi", script="postinst configure"),),
        kept=("/boot/efi/EFI/other/loader.efi",),
    ),
    Incident(
        "an update of the firmware's tools changes the order of the boot",
        "I13 fwupd-bootorder",
        install(_toy("fw-order", postinst="efibootmgr --bootorder 0003 || true")),
        verdict="allow",
        installed=(
            Toy(
                "efi-tool",
                files={"/usr/bin/efibootmgr": "#!/bin/sh\nexit 1\n"},
                modes={"/usr/bin/efibootmgr": 0o755},
            ),
        ),
        present=(_toy("fw-order", postinst="efibootmgr --bootorder 0003 || true"),),
        effects=("firmware: would run efibootmgr --bootorder 0003",),
        made=("/usr/share/fw-order/README",),
    ),
    Incident(
        "a package that stays deletes data when a file of another one triggers it",
        "I9 first-start-wipes",
        install(INDEXED),
        installed=(INDEXER,),
        present=(INDEXED,),
        precondition="mkdir -p /srv/index; echo years > /srv/index/notes",
        told=(Told("local-data", path="/srv/index/notes", script="postinst triggered"),),
        kept=("/srv/index/notes",),
    ),
    harmless(
        "a package that stays writes its index when a file of another one triggers it",
        install(INDEXED),
        installed=(TIDY_INDEXER,),
        present=(INDEXED,),
        made=("/usr/share/indexed/page", "/var/lib/tidy-indexer/index"),
    ),
    harmless(
        "the purge of a package whose empty directory is a mount point leaves the volume alone",
        purge("nebula"),
        installed=(MOUNTED,),
        precondition="mount -t tmpfs volume /srv/nebula/datastore; echo image > /srv/nebula/datastore/image",
        kept=("/srv/nebula/datastore/image",),
        gone=("/usr/share/nebula/README",),
    ),
    harmless(
        "the purge asks before it deletes the users' data, and takes no answer for no",
        purge("sasl-db"),
        installed=(
            _toy(
                "sasl-db",
                postinst="mkdir -p /var/lib/sasl-db",
                postrm=_on(
                    "purge",
                    'answer=no; [ -z "$DEBIAN_FRONTEND" ] || answer=no; [ $answer = no ] || rm -rf /var/lib/sasl-db',
                ),
            ),
        ),
        precondition="echo users > /var/lib/sasl-db/users",
        kept=("/var/lib/sasl-db/users",),
        gone=("/usr/share/sasl-db/README",),
    ),
    harmless(
        "the purge takes along what the package generated among its configuration",
        purge("tidy-etc"),
        installed=(
            _toy(
                "tidy-etc",
                postinst="mkdir -p /etc/tidy-etc/keys; for k in a b; do echo $k > /etc/tidy-etc/keys/host-$k.pem; done; "
                "echo x > /etc/tidy-etc/tidy.conf",
                postrm=_on("purge", "rm -rf /etc/tidy-etc"),
            ),
        ),
        precondition="echo edited >> /etc/tidy-etc/tidy.conf; cp /etc/tidy-etc/tidy.conf /etc/tidy-etc/tidy.conf~",
        gone=("/etc/tidy-etc/keys/host-a.pem", "/etc/tidy-etc/tidy.conf"),
    ),
)
