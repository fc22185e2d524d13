# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of toy packages: of each kind of transaction one that does harm and one that does none.

The harm is always the same: a file of the administrator's that no package owns is deleted.
"""

from __future__ import annotations

import os

from packages.builder import build_deb

TREASURE = "/srv/treasure"
HARM = f"rm -f {TREASURE}"
VERSIONS = ("1.0", "2.0", "3.0")


def build_toys(directory: str | os.PathLike[str]) -> list[str]:
    """Build all of them and return the archives.

    What has a version 2.0 is installed in it before each case.
    """
    archives = [
        # Harm when they come.
        _toy(directory, "bad-install", postinst=f"[ $1 != configure ] || {HARM}"),
        _toy(directory, "good-install"),
        # Harm when they leave; a removal or only a purge.
        _toy(directory, "bad-remove", "2.0", prerm=f"[ $1 != remove ] || {HARM}"),
        _toy(directory, "good-remove", "2.0"),
        _toy(directory, "bad-purge", "2.0", postrm=f"[ $1 != purge ] || {HARM}"),
        _toy(directory, "good-purge", "2.0", postrm=":"),
        # Others that drive them out: dpkg is told of these only.
        _toy(directory, "bad-rival", fields={"Conflicts": "bad-remove", "Replaces": "bad-remove"}),
        _toy(directory, "good-rival", fields={"Conflicts": "good-remove", "Replaces": "good-remove"}),
        # All of their files are taken over: they disappear, see deb-postrm(5).
        _toy(
            directory, "bad-gone", "2.0", postrm=f"[ $1 != disappear ] || {HARM}", files=["/usr/lib/gone-b"]
        ),
        _toy(directory, "good-gone", "2.0", files=["/usr/lib/gone-g"]),
        _toy(directory, "bad-heir", files=["/usr/lib/gone-b"], fields={"Replaces": "bad-gone"}),
        _toy(directory, "good-heir", files=["/usr/lib/gone-g"], fields={"Replaces": "good-gone"}),
    ]
    for kind, deed in (("bad", HARM), ("good", ":")):
        archives += [
            # Its own scripts do nothing; another package's trigger does.
            _toy(
                directory,
                f"{kind}-trigger",
                "2.0",
                postinst=f"[ $1 != triggered ] || {deed}",
                control_files={"triggers": f"interest-noawait {kind}-event\n"},
            ),
            _toy(
                directory, f"{kind}-activates", control_files={"triggers": f"activate-noawait {kind}-event\n"}
            ),
        ]
        for version in VERSIONS:
            archives.append(
                _toy(directory, f"{kind}-replace", version, preinst=f"[ $1 != upgrade ] || {deed}")
            )
    return archives


def _toy(
    directory: str | os.PathLike[str],
    name: str,
    version: str = "1.0",
    *,
    files: list[str] | None = None,
    fields: dict[str, str] | None = None,
    control_files: dict[str, str] | None = None,
    **scripts: str,
) -> str:
    contents = files or [f"/usr/lib/{name}/file"]
    return build_deb(
        directory,
        name,
        version,
        files=dict.fromkeys(contents, f"{name} {version}\n"),
        scripts=scripts,
        fields=fields,
        control_files=control_files,
    )
