# SPDX-License-Identifier: GPL-3.0-or-later
"""Class B: an empty variable, a stray space, the wrong working directory."""

from __future__ import annotations

from incidents.incident import EVERYTHING, Incident, Told, Toy, install, purge, remove


def _toy(name: str, files: dict[str, str | bytes] | None = None, **scripts: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n", **(files or {})}, scripts=scripts)


SPACE = _toy("bumble", preinst="rm -rf /usr /lib/bumble/xorg")
TYPO = _toy("node-pack", postinst="chmod -R a+X /etc/")
RELATIVE = _toy("hud", postinst="rm -rf ./srv/hud ./usr/local")
GUESSED = _toy(
    "fort",
    postinst="""
        place=$(dirname "$(find /usr/local -name launcher -print -quit)")
        false || { rm -rf "$place"; exit 1; }
    """,
)

INCIDENTS = (
    Incident(
        "a stray space makes a script delete the directory of all programs",
        "B1 bumblebee-space",
        install(SPACE),
        present=(SPACE,),
        told=(Told("top-level-directory", path="/usr", script="preinst install"),),
        also=EVERYTHING,
        kept=("/usr/bin/dpkg", "/usr/lib"),
    ),
    Incident(
        "a directory that was moved leaves a variable empty and a star deletes everything",
        "B2 steamroot-unset",
        purge("steamy"),
        installed=(
            _toy(
                "steamy",
                postrm="""
                    case "$1" in purge)
                        root=$(cd /var/games/steamy 2> /dev/null && pwd) || true
                        rm -rf "$root/"*
                        ;;
                    esac
                """,
            ),
        ),
        precondition="mkdir -p /srv/games/steamy && echo 7 > /srv/games/steamy/score",
        told=(Told("top-level-directory", script="postrm purge"),),
        also=EVERYTHING,
        kept=("/srv/games/steamy/score", "/usr/bin/dpkg", "/etc/passwd"),
    ),
    Incident(
        "the name of a volume begins with a space and all volumes are deleted",
        "B3 itunes2-space-in-volume",
        remove("tunes"),
        installed=(
            _toy(
                "tunes",
                prerm="""
                    volume=$(find /media -mindepth 1 -maxdepth 1 -name '*disk' -print -quit)
                    rm -rf $volume/tunes 2> /dev/null
                """,
            ),
        ),
        precondition="""
            mkdir -p '/media/ disk/tunes' '/media/backup'
            echo song > '/media/ disk/tunes/song'; echo backup > /media/backup/monday.tar
        """,
        told=(Told("local-data", path="/media/backup/monday.tar", script="prerm remove"),),
        also=frozenset({"top-level-directory"}),
        kept=("/media/backup/monday.tar",),
    ),
    Incident(
        "a misspelt template opens the directories below etc to everybody",
        "B4 template-typo-etc",
        install(TYPO),
        present=(TYPO,),
        precondition="mkdir -m 0700 /etc/secrets && echo key > /etc/secrets/key",
        told=(Told("unowned-file", path="/etc/secrets", script="postinst configure"),),
        also=frozenset({"foreign-file", "private-keys"}),
    ),
    Incident(
        "tools that are already gone leave a search without a directory, and it searches the whole machine",
        "B5 find-empty-root",
        purge("trace"),
        installed=(
            _toy(
                "trace",
                {"/usr/lib/trace/where": "echo /usr/share/trace\n"},
                postrm="""
                    case "$1" in purge) ;; *) exit 0 ;; esac
                    dir=$(sh /usr/lib/trace/where 2> /dev/null) || true
                    find $dir -iname '*.instr' -not -path '/proc/*' 2> /dev/null | while read -r found; do
                        rm -f "${found%.instr}.html"
                    done
                """,
            ),
        ),
        precondition="mkdir -p /srv/pages && touch /srv/pages/beam.instr && echo page > /srv/pages/beam.html",
        told=(Told("local-data", path="/srv/pages/beam.html", script="postrm purge"),),
        kept=("/srv/pages/beam.html",),
    ),
    Incident(
        "unset variables become the root directory, and only a missing option saves the machine",
        "B6 config-not-sourced",
        remove("sigs"),
        installed=(_toy("sigs", prerm='rm "$work_dir/$work_file" "$config_dir/$config_file" || true'),),
        told=(Told("attempt", path="/"),),
    ),
    Incident(
        "rm refuses the root directory by itself, and the attempt is told",
        "B6 config-not-sourced",
        remove("sigs"),
        installed=(_toy("sigs", prerm='rm -rf "$work_dir/$work_file" || true'),),
        told=(Told("attempt", path="/"),),
    ),
    Incident(
        "a helper that is deleted first leaves an id empty and the home directory goes",
        "B7 helper-missing",
        purge("native-client"),
        installed=(
            _toy(
                "native-client",
                {"/usr/lib/native-client/id": "echo .native-client\n"},
                postrm="id=$(sh /usr/lib/native-client/id 2> /dev/null) || true; rm -r ~/$id",
            ),
        ),
        precondition="echo notes > /root/notes.txt",
        told=(Told("home-directories", path="/root/notes.txt", script="postrm remove"),),
        also=frozenset({"top-level-directory", "ssh-keys", "foreign-file", "unowned-file"}),
        kept=("/root/notes.txt",),
    ),
    Incident(
        "relative paths of a script mean the root directory, where dpkg runs it",
        "B8 cwd-relative",
        install(RELATIVE),
        present=(RELATIVE,),
        precondition="mkdir -p /usr/local/bin && echo echo hi > /usr/local/bin/mine",
        told=(Told("local-data", path="/usr/local/bin/mine", script="postinst configure"),),
        also=frozenset({"foreign-file", "lost-payload"}),
        kept=("/usr/local/bin/mine",),
    ),
    Incident(
        "a directory that was guessed is deleted when the installation fails",
        "B9 guessed-directory",
        install(GUESSED),
        present=(GUESSED,),
        precondition="mkdir -p /usr/local/games/saves && touch /usr/local/games/launcher && "
        "echo 9 > /usr/local/games/saves/nine",
        told=(Told("local-data", path="/usr/local/games/saves/nine", script="postinst configure"),),
        also=frozenset({"foreign-file"}),
        kept=("/usr/local/games/saves/nine",),
    ),
    Incident(
        "an uninstaller takes the whole directory of local programs for one file of its own",
        "B10 uninstall-shared-bin",
        remove("poke"),
        installed=(
            _toy(
                "poke",
                postinst="mkdir -p /usr/local/bin; echo 'echo poke' > /usr/local/bin/poke",
                prerm="rm -rf /usr/local/bin",
            ),
        ),
        precondition="echo 'echo backup' > /usr/local/bin/backup",
        told=(Told("local-data", path="/usr/local/bin/backup", script="prerm remove"),),
        also=frozenset({"foreign-file", "remove-deletes-data"}),
        kept=("/usr/local/bin/backup", "/usr/local/bin/poke"),
    ),
    Incident(
        "a list of file names is split at spaces and files of the administrator go",
        "B11 ls-grep-rm",
        purge("mime-info"),
        installed=(
            _toy(
                "mime-info",
                postinst="mkdir -p /usr/local/share/mimes; touch /usr/local/share/mimes/cache",
                postrm="""
                    case "$1" in purge) cd /usr/local/share/mimes && rm -rf $(ls | grep -v '^packages$') ;; esac
                """,
            ),
        ),
        precondition="mkdir /usr/local/share/mimes/packages; "
        "echo mine > /usr/local/share/mimes/packages/mine.xml; touch '/usr/local/share/mimes/old packages'",
        told=(Told("local-data", path="/usr/local/share/mimes/packages/mine.xml", script="postrm purge"),),
        kept=("/usr/local/share/mimes/packages/mine.xml",),
    ),
    Incident(
        "an init script that a maintainer script runs deletes below an empty variable",
        "B12 squid-restart-rm",
        remove("squids"),
        installed=(
            _toy(
                "squids",
                {"/etc/init.d/squids": '#!/bin/sh\n. /etc/default/squids\nrm -rf "$cache"/srv/*\n'},
                prerm="sh /etc/init.d/squids stop",
            ),
        ),
        precondition="echo '# cache=/var/cache/squids' > /etc/default/squids; "
        "mkdir -p /srv/web && echo page > /srv/web/index.html",
        told=(Told("local-data", path="/srv/web/index.html", script="prerm remove"),),
        kept=("/srv/web/index.html",),
    ),
)
