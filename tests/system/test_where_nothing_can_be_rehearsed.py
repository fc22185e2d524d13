# SPDX-License-Identifier: GPL-3.0-or-later
"""Where no rehearsal can be made, for any reason: the status says off and why, and the policy decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

# Root without CAP_SYS_ADMIN, capabilities(7): neither namespaces nor mounts.
POWERLESS = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
# Of an unprivileged container: root in a user namespace of its own, user_namespaces(7).
ROOT_OF_A_CONTAINER = "PrivateUsers=yes"
NO_NAMESPACES = "RestrictNamespaces=yes"
# An overlay on an overlay on an overlay is one too many for the kernel: its root is the second one.
NO_OVERLAY = r"""
mount -t tmpfs two /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay two -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
for directory in dev proc run sys tmp; do mount --rbind /$directory /mnt/root/$directory; done
cd /mnt/root
pivot_root . mnt
umount -l /mnt
exec "$@"
"""
# There apt's own user does not exist.
APT = ["apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root"]
POLICY = "/etc/aptguard/policy.d/unable.toml"


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        toys = tmp_path_factory.mktemp("toys")
        guest.copy_in(build_deb(toys, "toy"), "/root/toy.deb")
        rival = build_deb(toys, "rival", fields={"Conflicts": "toy", "Replaces": "toy"})
        guest.copy_in(rival, "/root/rival.deb")
        guest.run(["systemctl", "mask", "--now", "aptguard.socket", "aptguard.service"])
        yield guest


@pytest.fixture
def installed(machine: Guest) -> Iterator[Guest]:
    machine.run("dpkg-query -W toy >/dev/null 2>&1 || dpkg -i /root/toy.deb")
    yield machine
    machine.run(["rm", "-f", POLICY])


def powerless(machine: Guest, *command: str) -> Completed:
    return machine.run([*POWERLESS, *command], check=False)


def of_a_service(machine: Guest, setting: str, *command: str) -> Completed:
    """Run a command as a service with one more setting, systemd.exec(5)."""
    run = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--property={setting}", "--"]
    return machine.run([*run, *command], check=False)


def on_two_overlays(machine: Guest, *command: str) -> Completed:
    """Run a command in a copy of the machine that is an overlay already; what it changes is lost."""
    return machine.run(["unshare", "--mount", "bash", "-ec", NO_OVERLAY, "bash", *command], check=False)


WAYS: dict[str, Callable[..., Completed]] = {
    "root may not mount": powerless,
    "in a user namespace": lambda machine, *command: of_a_service(machine, ROOT_OF_A_CONTAINER, *command),
    "no namespaces": lambda machine, *command: of_a_service(machine, NO_NAMESPACES, *command),
    "no overlay": on_two_overlays,
}


def own_lines(done: Completed) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("aptguard: ")]


@pytest.mark.parametrize("way", WAYS)
def test_the_status_is_off_and_says_why(machine: Guest, way: str) -> None:
    done = WAYS[way](machine, "aptguard", "status")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no rehearsal can be made here" in " ".join(done.stdout.split())


@pytest.mark.parametrize("way", WAYS)
def test_what_takes_nothing_away_goes_on_with_one_line(installed: Guest, way: str) -> None:
    done = WAYS[way](installed, *APT, "install", "--reinstall", "/root/toy.deb")
    assert done.returncode == 0, done.stderr
    assert len(own_lines(done)) == 1, done.stderr
    assert "not fully rehearsed" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_removal_is_stopped(installed: Guest, way: str) -> None:
    for command, code in (([*APT, "remove", "toy"], 100), (["dpkg", "-r", "toy"], 2)):
        done = WAYS[way](installed, *command)
        assert done.returncode == code, done.stdout + done.stderr
        assert "BLOCKED" in done.stderr and "when_unable" in done.stderr
    assert installed.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "toy"]).stdout == "ii "


def test_an_installation_that_drives_another_package_out_is_stopped_as_a_removal(installed: Guest) -> None:
    ended = powerless(installed, "dpkg", "-i", "/root/rival.deb")
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "aptguard: BLOCKED" in ended.stderr
    assert installed.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "toy"]).stdout.strip() == "ii"


def test_the_policy_can_let_all_pass_as_image_builds_want_it(installed: Guest) -> None:
    installed.write(POLICY, 'when_unable = "allow"\n')
    done = powerless(installed, "apt-get", "-q", "-y", "remove", "toy")
    assert done.returncode == 0, done.stderr
    assert len(own_lines(done)) == 1, done.stderr


def test_the_policy_can_stop_everything(installed: Guest) -> None:
    installed.write(POLICY, 'when_unable = "block"\n')
    done = powerless(installed, "apt-get", "-q", "-y", "install", "--reinstall", "/root/toy.deb")
    assert done.returncode == 100, done.stderr


def test_aptguard_can_be_taken_away_with_its_libraries(machine: Guest) -> None:
    done = powerless(machine, "apt-get", "-q", "-y", "purge", "aptguard", "python3-structlog")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.run(["dpkg-query", "-W", "aptguard"], check=False).returncode == 1
