# SPDX-License-Identifier: GPL-3.0-or-later
"""The control file of archives that dpkg itself has built, and of what is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.host.archive_control import control_of
from aptguard.host.errors import ArchiveError
from packages.builder import build_deb


def test_the_fields_are_read_without_any_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = build_deb(tmp_path, "toy", "1:2.0", depends="dpkg")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    control = control_of(os.fsencode(archive))
    assert (control.package, control.version, control.architecture) == ("toy", "1:2.0", "all")
    assert control.text(b"depends") == "dpkg"


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"!<arch>\ndebian-binary   0"])
def test_what_is_no_archive_is_named_in_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "-x \n.deb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"-x \\x0a\.deb cannot be read as a Debian archive: .+"):
        control_of(os.fsencode(path))


def test_a_name_that_looks_like_an_option_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(build_deb(tmp_path, "toy"), tmp_path / "--version")
    monkeypatch.chdir(tmp_path)
    assert control_of(b"--version").package == "toy"
