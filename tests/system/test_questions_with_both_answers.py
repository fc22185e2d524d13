# SPDX-License-Identifier: GPL-3.0-or-later
"""apt on a booted machine: a purge whose debconf question decides over data is judged by both answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from packages.asking import asking_deb
from testbed.guest import Guest

pytestmark = pytest.mark.needs_guest

DATA = "/var/lib/mysql/toy/table.ibd"
PURGE = ("apt-get", "-y", "purge", "toy")
QUESTION = "the debconf question toy/purge_data ('Remove all data of toy?') was rehearsed with both answers"


def test_a_purge_that_asks_is_blocked_by_what_may_be_answered_and_passes_by_what_is_known(
    guarded: Guest, toys: Path
) -> None:
    deb = asking_deb(toys, "asks", default=False, data="/var/lib/mysql/toy")
    guarded.install(guarded.copy_in(deb, "/root/toy.deb"))
    guarded.write(DATA, "rows\n")

    # Somebody sits there, and debconf will ask.
    asked = guarded.on_terminal(PURGE, check=False)
    assert asked.returncode == 100, asked.stdout
    found = re.search(r"aptguard override (\S+)", asked.stdout)
    assert found, asked.stdout
    report = guarded.run(["aptguard", "show", found[1]]).stdout
    assert "If 'Remove all data of toy?' is answered with yes: " in report
    assert f"{QUESTION}; it will be asked, so the worse outcome counts. Only with yes 2 paths" in report
    assert guarded.read(DATA) == "rows\n"

    # The answer "yes" is there already, and nobody will be asked again.
    guarded.run("echo 'toy toy/purge_data boolean true' | debconf-set-selections")
    yes = guarded.on_terminal(PURGE, check=False)
    assert yes.returncode == 100, yes.stdout
    report = guarded.run(["aptguard", "show", found[1]]).stdout
    assert f"{QUESTION}; nobody will be asked, the answer is yes." in report
    assert guarded.read(DATA) == "rows\n"

    # So is the answer "no": the purge goes on, and keeps the data.
    guarded.run("echo 'toy toy/purge_data boolean false' | debconf-set-selections")
    no = guarded.on_terminal(PURGE, check=False)
    assert no.returncode == 0, no.stdout
    report = guarded.run(["aptguard", "show", found[1]]).stdout
    assert f"{QUESTION}; nobody will be asked, the answer is no." in report
    assert "With yes the transaction would be blocked." in report
    assert guarded.read(DATA) == "rows\n"
    assert guarded.run(["dpkg-query", "-W", "toy"], check=False).returncode != 0
