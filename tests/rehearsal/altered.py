# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsals with other constants: a file system that is not there is stood in for by one that is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import aptguard.rehearsal.rehearse as rehearse_module

_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(rehearse_module.__file__))))


def alter_helper(monkeypatch: pytest.MonkeyPatch, directory: Path, lines: str) -> None:
    """Let the helper process of the next rehearsals run ``lines``, with its modules loaded, before its work.

    ``directory`` must be one that the machine under test does not show.
    """
    helper = directory / "altered-helper.py"
    helper.write_text(
        f"import sys\nsys.path.append({_SOURCE!r})\nfrom aptguard.rehearsal import helper\n"
        f"helper._load_all()\n{lines}\nsys.exit(helper.main(sys.argv[1:]))\n"
    )
    monkeypatch.setattr(rehearse_module, "_HELPER", str(helper))
