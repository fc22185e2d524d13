# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that asks whether this is a booted machine deletes in the rehearsal what it deletes there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian(together=True)]

# Of udev's postinst and prerm.
_CHROOTED = """chrooted() {
  if [ "$(stat -c %d/%i /)" = "$(stat -Lc %d/%i /proc/1/root 2>/dev/null)" ]; then return 1; fi
  return 0
}
"""
# Each deletes /srv/db there; HARM stands for that.
SCRIPTS = {
    "chrooted": _CHROOTED + "if ! chrooted; then HARM; fi",
    "ischroot": "if ! ischroot; then HARM; fi",
    "detect-chroot": "if ! systemd-detect-virt --chroot; then HARM; fi",
    "detect-container": 'if [ "$(systemd-detect-virt --container)" = systemd-nspawn ]; then HARM; fi',
    "program": 'case "$(readlink /proc/1/exe)" in */systemd) HARM ;; esac',
    "ps": 'if [ "$(ps -p 1 -o comm=)" = systemd ]; then HARM; fi',
    "pidof": 'if [ "$(pidof -s systemd)" = 1 ] || pgrep -x systemd | grep -qx 1; then HARM; fi',
    "groups-mounted": "if mountpoint -q /sys/fs/cgroup; then HARM; fi",
    "groups-version": 'if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then HARM; fi',
}


@pytest.fixture(scope="module")
def server(version: str, aptguard_deb: str) -> Iterator[Guest]:
    with Guest(version, network="private") as guest:
        install_aptguard(guest, aptguard_deb)
        yield guest


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_deletes_on_a_booted_machine_is_seen(server: Guest, tmp_path: Path, name: str) -> None:
    server.run("mkdir -p /srv/db; echo kept > /srv/db/table")
    postrm = f'if [ "$1" = purge ]; then\n{SCRIPTS[name].replace("HARM", "rm -rf /srv/db")}\nfi\n'
    deb = build_deb(tmp_path, f"toy-{name}", scripts={"postrm": postrm})
    server.run(["dpkg", "-i", server.copy_in(deb, f"/root/{name}.deb")])
    checked = server.run(["aptguard", "check", "purge", f"toy-{name}", "--json"], check=False)
    assert json.loads(checked.stdout)["verdict"] == "block", checked.stdout
    # By the script itself, for apt would not do it.
    server.run(["sh", f"/var/lib/dpkg/info/toy-{name}.postrm", "purge"])
    assert not server.exists("/srv/db/table")
