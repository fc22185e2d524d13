# SPDX-License-Identifier: GPL-3.0-or-later
"""Toy packages that ask debconf before they delete their data, as real packages do."""

from __future__ import annotations

import os

from packages.builder import build_deb

_TEMPLATES = """Template: toy/purge_data
Type: boolean
Default: {default}
Description: Remove all data of toy?
 It cannot be brought back.
"""
_POSTRM = """
[ "$1" = purge ] || exit 0
. /usr/share/debconf/confmodule
{before}
db_get toy/purge_data
if [ "$RET" = true ]; then rm -rf {data}; fi
db_purge
"""
_PRERM = """
[ "$1" = remove ] || exit 0
. /usr/share/debconf/confmodule
db_input high toy/purge_data || true
db_go || true
"""
# postgresql-15 sets its answer before it asks; mariadb-server only asks; slapd has asked long ago.
BEFORE = {
    "sets and asks": "db_set toy/purge_data true; db_input high toy/purge_data || true; db_go || true",
    "asks": "db_input high toy/purge_data || true; db_go || true",
    "asks in a low voice": "db_input low toy/purge_data || true; db_go || true",
    "reads": "",
    "asks in prerm": "",
    "asks in both": "db_input high toy/purge_data && exit 1; db_go || true",
    "deletes only who was asked": "db_input high toy/purge_data || exit 0; db_go || true",
    "decides": "db_set toy/purge_data true",
}


def asking_deb(
    directory: str | os.PathLike[str], manner: str, *, default: bool, data: str = "/var/lib/toy"
) -> str:
    """Build ``toy``, whose postrm deletes the directory ``data`` or not; ``manner`` is a key of BEFORE."""
    scripts = {
        "postinst": ". /usr/share/debconf/confmodule",
        "postrm": _POSTRM.format(before=BEFORE[manner], data=data),
    }
    if manner in {"asks in prerm", "asks in both"}:
        scripts["prerm"] = _PRERM
    return build_deb(
        directory,
        "toy",
        scripts=scripts,
        control_files={"templates": _TEMPLATES.format(default=str(default).lower())},
        depends="debconf",
    )
