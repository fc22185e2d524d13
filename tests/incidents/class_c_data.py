# SPDX-License-Identifier: GPL-3.0-or-later
"""Class C: the package deletes a directory of its own, and it is full of somebody's data."""

from __future__ import annotations

from dataclasses import replace

from incidents.incident import Incident, Told, Toy, install, purge, remove


def _toy(name: str, *directories: str, **scripts: str) -> Toy:
    files = {f"/usr/share/{name}/README": "x\n", **{f"{directory}/": "" for directory in directories}}
    return Toy(name, files=files, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


def _filled(directory: str, *names: str) -> str:
    return f"mkdir -p {directory}; " + "; ".join(
        f"echo data > {directory}/{name}" for name in names or ("data",)
    )


PGSQL = _toy(
    "pgsql-15",
    postrm=_on(
        "purge",
        """
            remove=yes
            if [ "$DEBIAN_FRONTEND" != noninteractive ]; then remove=asked; fi
            if [ $remove = yes ]; then
                rm -rf $(readlink -f /var/lib/pgsql-15/main) /var/lib/pgsql-15/main
            fi
        """,
    ),
)
INFLUX = Toy(
    "influx",
    "0.0.1",
    files={"/opt/influx/versions/0.0.1/influxd": "1\n"},
    scripts={"postrm": _on("upgrade", "rm -rf /opt/influx/versions/0.0.1")},
)
INFLUX_NEW = Toy("influx", "0.1.0", files={"/opt/influx/versions/0.1.0/influxd": "2\n"})
CFENGINE = Toy(
    "cfengined",
    "3.5",
    files={"/var/cfengined/": "", "/var/cfengined/bin/agent": "1\n"},
    scripts={"prerm": _on("upgrade", "rm -rf /var/cfengined")},
)

INCIDENTS = (
    Incident(
        "the purge deletes the place where users keep their files beside the package's",
        "C1 dosemu-201023",
        purge("dosemu"),
        installed=(_toy("dosemu", postrm=_on("purge", "rm -r /usr/local/share/dosemu")),),
        precondition=_filled("/usr/local/share/dosemu/drives/c", "letter.txt"),
        told=(Told("local-data", path="/usr/local/share/dosemu/drives/c/letter.txt", script="postrm purge"),),
        kept=("/usr/local/share/dosemu/drives/c/letter.txt",),
    ),
    Incident(
        "the plain removal deletes the page that a user had put among the configuration",
        "C2 wwwoffle-private",
        remove("offline-web"),
        installed=(_toy("offline-web", "/etc/offline-web", postrm="rm -rf /etc/offline-web"),),
        precondition=_filled("/etc/offline-web/html", "start.html"),
        told=(Told("remove-deletes-data", path="/etc/offline-web/html/start.html", script="postrm remove"),),
        kept=("/etc/offline-web/html/start.html",),
    ),
    Incident(
        "the plain removal deletes the edited conffile and the copies that were made of it",
        "C3 etc-foo-backups",
        remove("offline-web"),
        installed=(
            Toy(
                "offline-web",
                files={"/etc/offline-web/main.conf": "shipped\n"},
                scripts={"postrm": "rm -rf /etc/offline-web"},
            ),
        ),
        precondition="echo edited >> /etc/offline-web/main.conf; "
        "cp /etc/offline-web/main.conf /etc/offline-web/main.conf.2026-11-22",
        told=(
            Told("local-edit", path="/etc/offline-web/main.conf", script="postrm remove"),
            Told("remove-deletes-data", path="/etc/offline-web/main.conf.2026-11-22"),
        ),
        kept=("/etc/offline-web/main.conf", "/etc/offline-web/main.conf.2026-11-22"),
    ),
    Incident(
        "the purge of a database's package drops the files of a database in the server's directory",
        "C4 mythtv-database",
        purge("mythtv-database"),
        installed=(_toy("mythtv-database", postrm=_on("purge", "rm -rf /var/lib/mysql/mythconverg")),),
        precondition=_filled("/var/lib/mysql/mythconverg", "recorded.ibd"),
        told=(Told("databases", path="/var/lib/mysql/mythconverg/recorded.ibd", script="postrm purge"),),
        kept=("/var/lib/mysql/mythconverg/recorded.ibd",),
    ),
    Incident(
        "nobody can be asked, so the clusters are deleted where a link leads",
        "C5 postgresql-noninteractive",
        purge("pgsql-15"),
        installed=(PGSQL,),
        precondition=_filled("/srv/pg/main", "PG_VERSION")
        + "; mkdir -p /var/lib/pgsql-15 && ln -s /srv/pg/main /var/lib/pgsql-15/main",
        told=(Told("local-data", path="/srv/pg/main/PG_VERSION", script="postrm purge"),),
        kept=("/srv/pg/main/PG_VERSION",),
    ),
    Incident(
        "the plain removal deletes the file store that only a purge may delete",
        "C6 odoo-remove",
        remove("odoo"),
        installed=(_toy("odoo", postrm="rm -rf /var/lib/odoo"),),
        precondition=_filled("/var/lib/odoo/filestore", "contract.pdf"),
        told=(
            Told("remove-deletes-data", path="/var/lib/odoo/filestore/contract.pdf", script="postrm remove"),
        ),
        kept=("/var/lib/odoo/filestore/contract.pdf",),
    ),
    Incident(
        "a packaging tool runs its script for afterwards on removal too",
        "C7 gocd-remove",
        remove("go-server"),
        installed=(_toy("go-server", "/var/lib/go-server", postrm="rm -rf /var/lib/go-server"),),
        precondition=_filled("/var/lib/go-server/db", "pipelines.db"),
        told=(
            Told("remove-deletes-data", path="/var/lib/go-server/db/pipelines.db", script="postrm remove"),
        ),
        kept=("/var/lib/go-server/db/pipelines.db",),
    ),
    Incident(
        "the purge deletes all databases without a question",
        "C8 couchdb-purge",
        purge("couchdb"),
        installed=(_toy("couchdb", "/var/lib/couchdb", postrm=_on("purge", "rm -rf /var/lib/couchdb")),),
        precondition=_filled("/var/lib/couchdb/shards", "a.couch", "b.couch"),
        told=(Told("databases", path="/var/lib/couchdb/shards/a.couch", script="postrm purge"),),
        kept=("/var/lib/couchdb/shards/a.couch",),
    ),
    Incident(
        "the purge deletes one small file in which all records are",
        "C9 opennebula-sqlite",
        purge("opennebula"),
        installed=(_toy("opennebula", postrm=_on("purge", "rm -f /var/lib/one/one.db")),),
        precondition=_filled("/var/lib/one", "one.db"),
        told=(Told("databases", path="/var/lib/one/one.db", script="postrm purge"),),
        kept=("/var/lib/one/one.db",),
    ),
    Incident(
        "the purge of what was removed long ago deletes the directory that a successor uses",
        "C10 pixelated-rc-purge",
        purge("pixel-dispatcher"),
        installed=(
            Toy(
                "pixel-dispatcher",
                files={"/etc/pixel-dispatcher.conf": "x\n"},
                scripts={"postrm": _on("purge", "rm -rf /var/lib/pixel")},
            ),
            _toy("pixel-server", "/var/lib/pixel"),
        ),
        precondition="dpkg -r pixel-dispatcher; " + _filled("/var/lib/pixel/mail/alice", "inbox"),
        told=(Told("unowned-file", path="/var/lib/pixel/mail/alice/inbox", script="postrm purge"),),
        also=frozenset({"foreign-file"}),
        kept=("/var/lib/pixel/mail/alice/inbox",),
    ),
    Incident(
        "a package that wraps another package manager's program removes its volumes with it",
        "C11 docker-snap",
        remove("dock-snap"),
        installed=(_toy("dock-snap", prerm="rm -rf /var/snap/dock"),),
        precondition=_filled("/var/snap/dock/common/volumes/db", "table"),
        told=(
            Told(
                "containers-and-machines",
                path="/var/snap/dock/common/volumes/db/table",
                script="prerm remove",
            ),
        ),
        kept=("/var/snap/dock/common/volumes/db/table",),
    ),
    Incident(
        "databases lie in the directory of the old version and go with it",
        "C12 influxdb-dpkg-i",
        f"dpkg -i {INFLUX_NEW.archive}",
        installed=(INFLUX,),
        present=(INFLUX_NEW,),
        precondition=_filled("/opt/influx/versions/0.0.1/data", "metrics.db"),
        told=(
            Told(
                "remove-deletes-data",
                path="/opt/influx/versions/0.0.1/data/metrics.db",
                script="postrm upgrade",
            ),
        ),
        kept=("/opt/influx/versions/0.0.1/data/metrics.db",),
    ),
    Incident(
        "an upgrade wipes the directory in which users keep their rules",
        "C13 cfengine-upgrade",
        install(replace(CFENGINE, version="3.6")),
        installed=(CFENGINE,),
        present=(replace(CFENGINE, version="3.6"),),
        precondition=_filled("/var/cfengined/masterfiles", "promises.cf"),
        told=(
            Told(
                "remove-deletes-data", path="/var/cfengined/masterfiles/promises.cf", script="prerm upgrade"
            ),
        ),
        kept=("/var/cfengined/masterfiles/promises.cf",),
    ),
    Incident(
        "the purge deletes a vendor's directory in which other programs keep their keys",
        "C14 longview-etc",
        purge("longview"),
        installed=(_toy("longview", postrm=_on("purge", "rm -rf /etc/linde")),),
        precondition=_filled("/etc/linde", "api.key"),
        told=(Told("unowned-file", path="/etc/linde/api.key", script="postrm purge"),),
        kept=("/etc/linde/api.key",),
    ),
    Incident(
        "the purge takes the one file by which the machine reaches the network",
        "C15 netmods-interfaces",
        purge("net-mods"),
        installed=(
            _toy(
                "net-mods",
                postinst="mkdir -p /etc/network; echo auto eth0 > /etc/network/interfaces",
                postrm=_on("purge", "rm -f /etc/network/interfaces"),
            ),
        ),
        told=(Told("network-configuration", path="/etc/network/interfaces", script="postrm purge"),),
        kept=("/etc/network/interfaces",),
    ),
)
