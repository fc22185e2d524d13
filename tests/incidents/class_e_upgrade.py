# SPDX-License-Identifier: GPL-3.0-or-later
"""Class E: removal code that runs on an upgrade, and upgrades that overwrite what was edited."""

from __future__ import annotations

from dataclasses import replace

from incidents.incident import Incident, Told, Toy, install

BOR = Toy(
    "bor",
    "0.3",
    files={
        "/usr/bin/bor": "1\n",
        "/usr/lib/systemd/system/bor.service": "[Service]\nExecStart=/usr/bin/bor\n",
    },
    scripts={"postrm": "rm -rf /usr/bin/bor /usr/lib/systemd/system/bor.service"},
)
ONE = Toy(
    "one-runtime",
    files={"/usr/share/one-runtime/model": "1\n"},
    scripts={"postrm": "rm -rf /usr/share/one-runtime"},
)
STORAGE = Toy(
    "archive-storage",
    files={"/usr/lib/archive-storage/app": "1\n", "/var/lib/archive-storage/": ""},
    scripts={"postrm": "rm -rf /var/lib/archive-storage"},
)
COMDB = Toy(
    "comdb",
    files={"/opt/comdb/bin/server": "1\n", "/opt/comdb/bin/client": "1\n"},
    scripts={"postrm": "rm -f /opt/comdb/bin/server /opt/comdb/bin/client"},
)
LOUNGE = Toy(
    "old-lounge",
    files={"/usr/share/old-lounge/README": "x\n"},
    scripts={"postrm": "rm -rf /etc/old-lounge"},
)
THE_LOUNGE = Toy(
    "the-lounge",
    files={"/usr/share/the-lounge/README": "x\n"},
    fields={"Conflicts": "old-lounge", "Replaces": "old-lounge", "Provides": "old-lounge"},
    scripts={"postinst": "if [ -d /etc/old-lounge ]; then mv /etc/old-lounge /etc/the-lounge; fi"},
)
INDEXER = Toy(
    "indexer",
    files={
        "/etc/indexer/security/users.yml": "admin: admin\n",
        "/usr/share/indexer/users.yml": "admin: admin\n",
    },
    conffiles=(),
)
AUTHELIA = Toy("authel", files={"/etc/authel/configuration.yml": "secret: change-me\n"}, conffiles=())
AUTHELIA_NEW = replace(
    AUTHELIA, version="2.0", files={"/etc/authel/configuration.yml": "secret: change-me\nlog: info\n"}
)
FENCE = Toy(
    "fence",
    files={"/etc/fence/roles.conf": "", "/usr/share/fence/roles.conf.example": "# roles\n"},
)
KEYS = Toy("agent-keys", files={"/var/lib/agent-keys/rules/local.xml": "<rules/>\n"})
SENSU = Toy(
    "sensu",
    files={"/opt/sensu/bin/client": "1\n"},
    scripts={"postrm": 'if [ "$1" != remove ]; then rm -rf /opt/sensu; fi'},
)
PRESTO = Toy(
    "presto",
    files={"/etc/presto/node.conf": "x\n", "/usr/lib/presto/server": "1\n", "/var/lib/presto/": ""},
    scripts={"postrm": "rm -rf /etc/presto /var/lib/presto"},
)
EJABBERD = Toy(
    "ejabberd",
    files={"/usr/lib/ejabberd/server": "1\n"},
    scripts={"prerm": "rm -rf /var/lib/ejabberd"},
)
ORBIT = Toy(
    "orbit",
    files={"/usr/bin/orbit": "1\n", "/var/lib/orbit/": ""},
    scripts={"postrm": "pkill -x orbit-agent || true; rm -rf /var/lib/orbit"},
)
MDSPLUS = Toy(
    "mdsp",
    files={"/usr/lib/mdsp/python/core.py": "1\n"},
    scripts={"postrm": "rm -rf /usr/lib/mdsp/python"},
)
DB = "mkdir -p {0}; echo data > {0}/db"


def _new(toy: Toy) -> Toy:
    return replace(toy, version="2.0")


def _upgraded(name: str, source: str, toy: Toy, *told: Told, **more: object) -> Incident:
    return Incident(
        name,
        source,
        install(_new(toy)),
        installed=(toy,),
        present=(_new(toy),),
        told=told,
        **more,  # type: ignore[arg-type]
    )


INCIDENTS = (
    _upgraded(
        "the script of the old version deletes the program that the new one has just unpacked",
        "E1 bor-heimdall",
        BOR,
        Told("lost-payload", path="/usr/bin/bor", script="postrm upgrade"),
        Told("lost-payload", path="/usr/lib/systemd/system/bor.service", script="postrm upgrade"),
        kept=("/usr/bin/bor",),
    ),
    _upgraded(
        "the script of the old version deletes the whole directory of the new one",
        "E2 samsung-one",
        ONE,
        Told("lost-payload", path="/usr/share/one-runtime/model", script="postrm upgrade"),
        kept=("/usr/share/one-runtime/model",),
    ),
    _upgraded(
        "a script that does not look at its argument deletes the state on every upgrade",
        "E3 archivematica",
        STORAGE,
        Told("remove-deletes-data", path="/var/lib/archive-storage/db", script="postrm upgrade"),
        also=frozenset({"lost-payload"}),
        precondition=DB.format("/var/lib/archive-storage"),
        kept=("/var/lib/archive-storage/db",),
    ),
    Incident(
        "the same version installed again loses two programs",
        "E4 comdb2",
        f"dpkg -i {COMDB.archive}",
        installed=(COMDB,),
        present=(),
        told=(Told("lost-payload", path="/opt/comdb/bin/server", script="postrm upgrade"),),
        kept=("/opt/comdb/bin/server", "/opt/comdb/bin/client"),
    ),
    Incident(
        "a package that takes another's place removes its configuration before it can be taken over",
        "E5 thelounge-rename",
        install(THE_LOUNGE),
        installed=(LOUNGE,),
        present=(THE_LOUNGE,),
        precondition="mkdir /etc/old-lounge; echo 'port 9000' > /etc/old-lounge/config.js",
        told=(Told("remove-deletes-data", path="/etc/old-lounge/config.js", script="postrm remove"),),
        kept=("/etc/old-lounge/config.js",),
    ),
    Incident(
        "the upgrade puts the sample in the place of the edited list of users",
        "E6 wazuh-indexer",
        install(
            replace(
                INDEXER,
                version="2.0",
                scripts={"postinst": "cp /usr/share/indexer/users.yml /etc/indexer/security/users.yml"},
            )
        ),
        installed=(INDEXER,),
        present=(
            replace(
                INDEXER,
                version="2.0",
                scripts={"postinst": "cp /usr/share/indexer/users.yml /etc/indexer/security/users.yml"},
            ),
        ),
        precondition="echo 'admin: kiwi' > /etc/indexer/security/users.yml",
        told=(Told("local-edit", path="/etc/indexer/security/users.yml"),),
        kept=("/etc/indexer/security/users.yml",),
    ),
    Incident(
        "dpkg itself overwrites an edited file in etc that is no conffile",
        "E7 authelia-no-conffiles",
        f"dpkg -i {AUTHELIA_NEW.archive}",
        installed=(AUTHELIA,),
        present=(AUTHELIA_NEW,),
        precondition="echo 'secret: kiwi' > /etc/authel/configuration.yml",
        told=(Told("local-edit", path="/etc/authel/configuration.yml"),),
        kept=("/etc/authel/configuration.yml",),
    ),
    Incident(
        "the upgrade replaces an edited conffile by the example",
        "E8 packetfence",
        install(
            replace(
                FENCE,
                version="2.0",
                scripts={"postinst": "cp /usr/share/fence/roles.conf.example /etc/fence/roles.conf"},
            )
        ),
        installed=(FENCE,),
        present=(
            replace(
                FENCE,
                version="2.0",
                scripts={"postinst": "cp /usr/share/fence/roles.conf.example /etc/fence/roles.conf"},
            ),
        ),
        precondition="echo '[guest]' > /etc/fence/roles.conf",
        told=(Told("local-edit", path="/etc/fence/roles.conf", script="postinst configure"),),
        kept=("/etc/fence/roles.conf",),
    ),
    Incident(
        "the new version's script deletes files that the new version ships",
        "E9 wazuh-conffiles",
        install(replace(KEYS, version="2.0", scripts={"postinst": "rm -rf /var/lib/agent-keys/rules"})),
        installed=(KEYS,),
        present=(replace(KEYS, version="2.0", scripts={"postinst": "rm -rf /var/lib/agent-keys/rules"}),),
        told=(Told("lost-payload", path="/var/lib/agent-keys/rules/local.xml", script="postinst configure"),),
        kept=("/var/lib/agent-keys/rules/local.xml",),
    ),
    _upgraded(
        "a test that looks right lets the clean-up run on an upgrade",
        "E11 sensu-rpm",
        SENSU,
        Told("lost-payload", path="/opt/sensu/bin/client", script="postrm upgrade"),
        Told("remove-deletes-data", path="/opt/sensu/cache/db"),
        also=frozenset({"local-data"}),
        precondition=DB.format("/opt/sensu/cache"),
        kept=("/opt/sensu/bin/client", "/opt/sensu/cache/db"),
    ),
    _upgraded(
        "configuration and data of the new version go with the old one's last script",
        "E12 presto-rpm",
        PRESTO,
        Told("remove-deletes-data", path="/var/lib/presto/db", script="postrm upgrade"),
        also=frozenset({"lost-payload", "local-edit"}),
        precondition=DB.format("/var/lib/presto") + "; echo edited >> /etc/presto/node.conf",
        kept=("/var/lib/presto/db", "/etc/presto/node.conf"),
    ),
    _upgraded(
        "the danger sits in the version that is installed now, and the new one is blameless",
        "E14 ejabberd-rpm",
        replace(EJABBERD, files={**EJABBERD.files}),
        Told("remove-deletes-data", path="/var/lib/ejabberd/db", script="prerm upgrade"),
        precondition=DB.format("/var/lib/ejabberd"),
        kept=("/var/lib/ejabberd/db",),
    ),
    _upgraded(
        "the old version's script kills the program and deletes its state",
        "E15 fleet-orbit",
        ORBIT,
        Told("remove-deletes-data", path="/var/lib/orbit/db", script="postrm upgrade"),
        also=frozenset({"lost-payload"}),
        precondition=DB.format("/var/lib/orbit"),
        kept=("/var/lib/orbit/db",),
    ),
    _upgraded(
        "fresh modules go with the directory whose byte code was meant",
        "E18 conflict-removes-old-hook",
        MDSPLUS,
        Told("lost-payload", path="/usr/lib/mdsp/python/core.py", script="postrm upgrade"),
        kept=("/usr/lib/mdsp/python/core.py",),
    ),
)
