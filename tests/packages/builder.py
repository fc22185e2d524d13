# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a small real ``.deb`` in a fraction of a second."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

MAINTAINER_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")

Content = str | bytes


def build_deb(
    directory: str | os.PathLike[str],
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, Content] | None = None,
    links: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    modes: Mapping[str, int] | None = None,
    depends: str = "",
    conffiles: Sequence[str] | None = None,
    architecture: str = "all",
    fields: Mapping[str, str] | None = None,
    control_files: Mapping[str, str] | None = None,
    owner: tuple[int, int] | None = None,
) -> str:
    """Build one package with dpkg-deb and return the path of the archive.

    ``files`` maps absolute paths to contents (a path that ends in ``/`` is an empty directory),
    ``links`` maps a symbolic link to its target, ``modes`` overrides 0644 (0755 for a directory).
    ``scripts`` maps maintainer scripts to their text; without ``#!`` it is run by ``/bin/sh -e``.
    ``conffiles`` are by default all files below ``/etc``. ``fields`` adds to the control file
    (``Multi-Arch``, ``Essential`` ...); ``control_files`` adds to the control archive (``triggers`` ...).
    ``owner`` is the uid and gid of everything in it, by default 0 and 0.

    :raises ValueError: for a script name that dpkg does not know.
    :raises subprocess.CalledProcessError: dpkg-deb refused the package.
    """
    files = files or {}
    os.makedirs(directory, exist_ok=True)
    archive = os.path.join(os.fspath(directory), f"{name}_{version.rpartition(':')[2]}_{architecture}.deb")
    with tempfile.TemporaryDirectory(prefix="build-deb-") as root:
        os.chmod(root, 0o755)
        for path, content in files.items():
            _write_file(root, path, content)
        for path, target in (links or {}).items():
            _make_parent(root, path)
            os.symlink(target, _below(root, path))
        for path, mode in (modes or {}).items():
            os.chmod(_below(root, path), mode)
        if conffiles is None:
            conffiles = [path for path in files if path.startswith("/etc/") and not path.endswith("/")]
        control = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "Nobody <nobody@example.org>",
            "Section": "misc",
            "Priority": "optional",
            "Depends": depends,
            "Description": f"toy package {name}\n made by a test",
            **(fields or {}),
        }
        members = {"control": "".join(f"{key}: {value}\n" for key, value in control.items() if value)}
        if conffiles:
            members["conffiles"] = "".join(f"{path}\n" for path in conffiles)
        members.update(control_files or {})
        for script, text in (scripts or {}).items():
            if script not in MAINTAINER_SCRIPTS:
                raise ValueError(
                    f"{script} is no maintainer script; use one of {', '.join(MAINTAINER_SCRIPTS)}"
                )
            members[script] = text if text.startswith("#!") else f"#!/bin/sh\nset -e\n{text}\n"
        for member, text in members.items():
            _write_file(root, f"/DEBIAN/{member}", text)
            os.chmod(_below(root, f"/DEBIAN/{member}"), 0o755 if member in MAINTAINER_SCRIPTS else 0o644)
        whose = ["--root-owner-group"]
        if owner is not None:
            subprocess.run(
                ["chown", "--recursive", "--no-dereference", f"{owner[0]}:{owner[1]}", root], check=True
            )
            whose = []
        subprocess.run(
            ["dpkg-deb", *whose, "-Znone", "--build", root, archive],
            check=True,
            capture_output=True,
            text=True,
        )
    return archive


def _below(root: str, path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"the path {path} of a package must be absolute")
    return root + path.rstrip("/")


def _make_parent(root: str, path: str) -> None:
    os.makedirs(os.path.dirname(_below(root, path)), mode=0o755, exist_ok=True)


def _write_file(root: str, path: str, content: Content) -> None:
    _make_parent(root, path)
    if path.endswith("/"):
        os.makedirs(_below(root, path), mode=0o755, exist_ok=True)
        return
    data = content.encode() if isinstance(content, str) else content
    with open(_below(root, path), "wb") as file:
        file.write(data)
