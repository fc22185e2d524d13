# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of 15 January 2010: it made an account with home ``/``, and deletes that home when it goes."""

from __future__ import annotations

import os
from dataclasses import dataclass

from packages.builder import build_deb


@dataclass(frozen=True, slots=True)
class Obsolete:
    """One way in which such a package destroys the machine it leaves."""

    name: str
    account: str
    script: str  # the maintainer script that does it
    phases: str  # a pattern of sh(1) for the script's first argument
    deed: str


OBSOLETE = (
    Obsolete(
        name="old-statistics",
        account="oldstats",
        script="postrm",
        phases="remove|purge",
        deed="deluser --quiet --remove-home oldstats",
    ),
    Obsolete(
        name="old-collector",
        account="oldcollect",
        script="prerm",
        phases="remove",
        deed="userdel -r -f oldcollect",
    ),
    Obsolete(
        name="old-agent",
        account="oldagent",
        script="postrm",
        phases="remove|purge",
        deed='HOME_OF_USER=$(getent passwd oldagent | cut -d: -f6); rm -rf "$HOME_OF_USER"/*',
    ),
)


def build_obsolete(directory: str | os.PathLike[str], package: Obsolete) -> str:
    """Build one of them and return the path of the archive."""
    return build_deb(
        directory,
        package.name,
        depends="adduser, passwd, perl",
        files={f"/usr/share/{package.name}/README": "collects figures for a page that nobody reads\n"},
        scripts={
            "postinst": f"""
                if [ "$1" = configure ] && ! getent passwd {package.account} > /dev/null; then
                    useradd --system --home-dir / --no-create-home --shell /usr/sbin/nologin {package.account}
                fi
            """,
            package.script: f"""
                case "$1" in
                {package.phases})
                    if getent passwd {package.account} > /dev/null; then
                        {package.deed}
                    fi
                    ;;
                esac
            """,
        },
    )


def build_harmless(directory: str | os.PathLike[str], name: str, victim: str, version: str = "1.0") -> str:
    """Build a package whose removal deletes one file that no package owns, and nothing else."""
    return build_deb(
        directory,
        name,
        version,
        files={f"/usr/share/{name}/README": "deletes one file of somebody else\n"},
        scripts={"postrm": f'case "$1" in remove|purge) rm -f "{victim}" ;; esac'},
    )
