# SPDX-License-Identifier: GPL-3.0-or-later
"""Class A: the removal of an account takes a home directory with it."""

from __future__ import annotations

from incidents.incident import EVERYTHING, Incident, Told, Toy, install, purge, remove


def _with_account(home: str, removal: str, phases: str, script: str = "postrm") -> Toy:
    return Toy(
        "old-statistics",
        files={"/usr/share/old-statistics/README": "figures\n"},
        scripts={
            "postinst": f"""
                if ! getent passwd oldstats > /dev/null; then
                    useradd --system --home-dir {home} --no-create-home --shell /usr/sbin/nologin oldstats
                fi
            """,
            script: f'case "$1" in {phases}) {removal} ;; esac',
        },
    )


ALICE = """
useradd --create-home --uid 1000 alice
echo letters > /home/alice/letters.txt
mkdir -p /home/alice/.foo && echo chat > /home/alice/.foo/chat
useradd --create-home --uid 1001 bob
echo thesis > /home/bob/thesis.txt
"""

FORGETFUL = Toy(
    "stack-sync",
    files={"/usr/share/stack-sync/README": "x\n"},
    scripts={
        "postrm": """
            case "$1" in remove|purge)
                home=$(getent passwd $SUDO_USER | cut -d: -f6)
                rm -rf $home/.foo
                ;;
            esac
        """
    },
)

DOTDIR = Toy(
    "lander",
    files={"/usr/share/lander/README": "x\n"},
    scripts={"postrm": 'rm -rf "$HOME/.lander"'},
)

KIBANA = Toy(
    "kib",
    "4.3",
    files={"/usr/share/kib/app": "1\n"},
    scripts={
        "postinst": """
            if ! getent passwd kib > /dev/null; then
                useradd --system --home-dir /usr/share/kib --no-create-home kib
            fi
            mkdir -p /var/lib/kib && touch /var/lib/kib/state && chown -R kib /var/lib/kib
        """,
        "postrm": "userdel kib || true",
    },
)

DO_CLIENT = Toy(
    "do-client",
    "1.0",
    files={"/usr/share/do-client/app": "1\n"},
    scripts={
        "postinst": "getent group doclient > /dev/null || groupadd --system doclient",
        "postrm": "groupdel doclient",
    },
)

INCIDENTS = (
    Incident(
        "the purge of a package deletes the account whose home is the root directory",
        "A1 tiger-home-root",
        purge("old-statistics"),
        installed=(_with_account("/", "deluser --quiet --remove-home oldstats", "purge"),),
        told=(Told("account-home", account="oldstats"), Told("top-level-directory")),
        also=EVERYTHING,
        kept=("/etc/passwd", "/usr/bin/dpkg", "/root"),
    ),
    Incident(
        "a plain removal by dpkg deletes the account whose home is the root directory",
        "A1 tiger-home-root",
        "dpkg -r old-statistics",
        installed=(_with_account("/", "deluser --quiet --system --remove-home oldstats", "remove"),),
        told=(Told("account-home", account="oldstats"), Told("top-level-directory")),
        also=EVERYTHING,
        kept=("/etc/passwd", "/usr/bin/dpkg", "/root"),
    ),
    Incident(
        "the installation of a package makes an account whose home is the root directory",
        "A2 cockpit-ws-home-root",
        install(_with_account("/", "true", "purge")),
        present=(_with_account("/", "true", "purge"),),
        told=(Told("account-home", account="oldstats", script="postinst configure"),),
    ),
    Incident(
        "the installation of a package makes an account whose home is the directory of all homes",
        "A2 cockpit-ws-home-root",
        install(_with_account("/home/", "true", "purge")),
        present=(_with_account("/home/", "true", "purge"),),
        told=(Told("account-home", account="oldstats"),),
    ),
    Incident(
        "userdel with force deletes the root directory in an order that differs from run to run",
        "A3 userdel-rf-nondeterministic",
        remove("old-statistics"),
        installed=(_with_account("/", "userdel -r -f oldstats", "remove", "prerm"),),
        told=(Told("top-level-directory", script="prerm remove"),),
        also=EVERYTHING,
        kept=("/etc/passwd", "/usr/bin/dpkg", "/root"),
    ),
    Incident(
        "userdel without force refuses the root directory today and is told all the same",
        "A3 userdel-rf-nondeterministic",
        remove("old-statistics"),
        installed=(_with_account("/", "userdel -r oldstats || true", "remove", "prerm"),),
        told=(Told("account-home", account="oldstats"),),
        also=frozenset({"account-lost", "attempt"}),
    ),
    Incident(
        "an empty user name is looked up and every home of the machine is deleted",
        "A4 getent-empty-key",
        purge("stack-sync"),
        installed=(FORGETFUL,),
        precondition=ALICE,
        told=(Told("top-level-directory"),),
        also=EVERYTHING,
        kept=("/home/alice/letters.txt", "/home/bob/thesis.txt", "/usr/bin/dpkg"),
    ),
    Incident(
        "with the caller's name the same script deletes that person's files only",
        "A4 getent-empty-key",
        purge("stack-sync"),
        installed=(FORGETFUL,),
        precondition=ALICE,
        environment={"SUDO_USER": "alice"},
        told=(Told("home-directories", path="/home/alice/.foo", script="postrm remove"),),
        kept=("/home/alice/.foo/chat",),
    ),
    Incident(
        "the purge runs the program's own uninstaller on the home of who called sudo",
        "A5 purge-deletes-invokers-data",
        purge("gaia"),
        installed=(
            Toy(
                "gaia",
                files={
                    "/usr/lib/gaia/uninstall": '#!/bin/sh\nhome=$(getent passwd "$SUDO_USER" | cut -d: -f6)\n'
                    'rm -rf "$home/.foo" "$home/letters.txt"\nexit 0\n'
                },
                modes={"/usr/lib/gaia/uninstall": 0o755},
                scripts={
                    "prerm": 'if [ -n "$SUDO_USER" ]; then /usr/lib/gaia/uninstall > /dev/null 2>&1 || true; fi'
                },
            ),
        ),
        precondition=ALICE,
        environment={"SUDO_USER": "alice"},
        told=(
            Told("home-directories", path="/home/alice/.foo/chat", script="prerm remove"),
            Told("home-directories", path="/home/alice/letters.txt"),
        ),
        kept=("/home/alice/.foo/chat", "/home/alice/letters.txt"),
    ),
    Incident(
        "every call of postrm deletes a directory in the home of who started apt",
        "A6 rm-home-dotdir",
        remove("lander"),
        installed=(DOTDIR,),
        precondition="mkdir -p /root/.lander/keys && echo secret > /root/.lander/keys/key",
        told=(Told("home-directories", path="/root/.lander/keys/key", script="postrm remove"),),
        kept=("/root/.lander/keys/key",),
    ),
    Incident(
        "an upgrade deletes the account and makes it again with another number",
        "A7 userdel-on-upgrade",
        install(Toy("kib", "4.4", files=KIBANA.files, scripts=KIBANA.scripts)),
        installed=(KIBANA,),
        present=(Toy("kib", "4.4", files=KIBANA.files, scripts=KIBANA.scripts),),
        # The next free number is lower once a gap has opened: useradd counts down from the last one.
        precondition="""
            useradd --system --no-create-home later
            usermod --uid 555 kib && groupmod --gid 555 kib && chown -R kib /var/lib/kib
        """,
        told=(Told("account-lost", account="kib"),),
        kept=("/var/lib/kib/state",),
    ),
    Incident(
        "an upgrade deletes a group and another account is no longer a member",
        "A8 groupdel-on-upgrade",
        install(Toy("do-client", "1.1", files=DO_CLIENT.files, scripts=DO_CLIENT.scripts)),
        installed=(DO_CLIENT,),
        present=(Toy("do-client", "1.1", files=DO_CLIENT.files, scripts=DO_CLIENT.scripts),),
        precondition="useradd --system --no-create-home broker; gpasswd --add broker doclient",
        told=(Told("account-lost", account="doclient"),),
    ),
    Incident(
        "the purge removes the home that the administrator had moved to a disk of data",
        "A9 purge-removes-home-by-design",
        purge("old-statistics"),
        installed=(_with_account("/var/lib/oldstats", "userdel --remove --force oldstats || true", "purge"),),
        precondition="""
            mkdir -p /srv/repository/pool && echo release > /srv/repository/pool/Release
            usermod --home /srv/repository oldstats && chown -R oldstats /srv/repository
        """,
        told=(Told("local-data", path="/srv/repository/pool/Release", script="postrm purge"),),
        also=frozenset({"account-home", "account-lost"}),
        kept=("/srv/repository/pool/Release",),
    ),
    Incident(
        "deluser walks from the home into a file system that is mounted in it",
        "A10 deluser-remove-home-no-checks",
        purge("old-statistics"),
        installed=(_with_account("/srv/stats", "deluser --quiet --remove-home oldstats", "purge"),),
        precondition="""
            mkdir -p /srv/stats/archive && mount -t tmpfs archive /srv/stats/archive
            echo 2009 > /srv/stats/archive/2009.csv
        """,
        told=(Told("local-data", path="/srv/stats/archive/2009.csv", script="postrm purge"),),
        also=frozenset({"account-lost"}),
        kept=("/srv/stats/archive/2009.csv",),
    ),
    Incident(
        "deluser takes away the link by which the administrator had moved the home elsewhere",
        "A10 deluser-remove-home-no-checks",
        purge("old-statistics"),
        installed=(_with_account("/opt/stats", "deluser --quiet --remove-home oldstats", "purge"),),
        precondition="mkdir -p /srv/stats && echo 2009 > /srv/stats/2009.csv && ln -s /srv/stats /opt/stats",
        told=(Told("local-data", path="/opt/stats", script="postrm purge"),),
        also=frozenset({"account-lost"}),
        kept=("/opt/stats", "/srv/stats/2009.csv"),
    ),
    Incident(
        "the removal of one package deletes the account of a person",
        "A11 103-packages",
        remove("old-statistics"),
        installed=(_with_account("/var/lib/oldstats", "userdel alice", "remove"),),
        precondition=ALICE,
        told=(Told("account-lost", account="alice", script="postrm remove"),),
    ),
)
