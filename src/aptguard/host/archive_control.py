# SPDX-License-Identifier: GPL-3.0-or-later
"""The control file of a .deb archive (deb(5), deb-control(5)), read without writing anything anywhere.

``dpkg-deb --show`` and ``--field`` want a temporary directory, which dpkg itself does not: with a /tmp that
is full or read-only they would fail where the transaction would not.
"""

from __future__ import annotations

import io
import os
import subprocess

from aptguard.host.errors import ArchiveError, DpkgDatabaseError
from aptguard.host.status_file import Stanza, read_stanza
from aptguard.shown import shown


def may_have_config_script(archive: bytes) -> bool:
    """Whether the archive has debconf's ``config`` (debconf-devel(7)), or cannot be read to tell."""
    try:
        import apt_inst  # only where debconf asks before dpkg

        apt_inst.DebFile(os.fsdecode(archive)).control.extractdata("config")
    except LookupError:
        return False
    except Exception:
        return True
    return True


def control_of(archive: bytes) -> Stanza:
    """Return the fields of the archive's control file. Raises ArchiveError."""
    import tarfile  # only where an archive is given to dpkg by hand

    command = [b"/usr/bin/dpkg-deb", b"--ctrl-tarfile", archive if archive[:1] != b"-" else b"./" + archive]
    try:
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode != 0:
            raise ValueError(shown(done.stderr.strip())[:300] or f"dpkg-deb ended with {done.returncode}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as members:
            file = next((one for one in members if one.name.removeprefix("./") == "control"), None)
            content = None if file is None else members.extractfile(file)
            if content is None:
                raise ValueError("it holds no control file")
            return read_stanza(content.read())
    except DpkgDatabaseError as error:
        raise ArchiveError(f"{shown(archive)} has a control file that does not consist of fields") from error
    except (OSError, ValueError, tarfile.TarError) as error:
        raise ArchiveError(f"{shown(archive)} cannot be read as a Debian archive: {error}") from error
