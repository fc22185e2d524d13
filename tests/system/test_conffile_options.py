# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a conffile that somebody has changed: as in the real run, wherever dpkg was told so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian(together=True)]

VAULT = "/etc/vault.conf"
RULE = f'[rule.vault]\nplace = "protected"\npaths = ["{VAULT}"]\nbecause = "Ours."\n'
SETTING = "/etc/dpkg/dpkg.cfg.d/local"


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        for number, content in (("1.0", "one\n"), ("2.0", "two\n")):
            deb = build_deb(toys, "vault", number, files={VAULT: content})
            guest.copy_in(deb, f"/root/vault-{number}.deb")
        guest.copy_in(build_deb(toys, "other"), "/root/other.deb")
        yield guest


@pytest.fixture
def changed(machine: Guest) -> Guest:
    """The machine with version 1.0, its conffile changed, and nothing protected."""
    machine.run(f"rm -f {SETTING} /etc/aptguard/policy.d/vault.toml; dpkg -P vault")
    machine.run("dpkg -i /root/vault-1.0.deb /root/other.deb")
    machine.write(VAULT, "ours\n")
    return machine


@pytest.mark.parametrize(
    "command",
    [
        "dpkg --force-confnew -i /root/vault-2.0.deb",
        "dpkg --force-confnew,confmiss -i /root/vault-2.0.deb",
        f"echo force-confnew >{SETTING}; dpkg -i /root/vault-2.0.deb",
        f"echo force-confnew >{SETTING}; apt-get -y install /root/vault-2.0.deb",
        "echo force-confnew >/root/.dpkg.cfg; apt-get -y install /root/vault-2.0.deb; rm /root/.dpkg.cfg",
        "apt-get -y -o DPkg::Options::=--force-overwrite,confnew install /root/vault-2.0.deb",
        "DPKG_FORCE=confnew apt-get -y install /root/vault-2.0.deb",
    ],
)
def test_the_new_conffile_is_rehearsed_wherever_it_is_asked_for(changed: Guest, command: str) -> None:
    changed.write("/etc/aptguard/policy.d/vault.toml", RULE)
    done = changed.run(command, check=False)
    said = done.stdout + done.stderr
    assert changed.read(VAULT) == "ours\n", said
    assert "BLOCKED" in said, said
    # The rule is what stopped it: the option really brings the new file.
    changed.run(["rm", "/etc/aptguard/policy.d/vault.toml"])
    changed.run(command, check=False)
    assert changed.read(VAULT) == "two\n"


@pytest.mark.parametrize("option", ["confold", "confdef", "confmiss", "confask"])
def test_an_option_that_leaves_the_installed_conffile_stops_nothing(changed: Guest, option: str) -> None:
    changed.write("/etc/aptguard/policy.d/vault.toml", RULE)
    command = f"apt-get -y -o DPkg::Options::=--force-{option} install /root/vault-2.0.deb other-"
    done = changed.run(command, check=False)
    assert "BLOCKED" not in done.stderr, done.stderr
    assert changed.read(VAULT) == "ours\n"
