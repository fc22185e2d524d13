# SPDX-License-Identifier: GPL-3.0-or-later
"""A guard that is ill, or going, never stands in the way.

What apt and dpkg then do stands in a table, docs/when-the-guard-cannot.md, and it holds. Each ailment is
made on a booted machine of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from packages.builder import build_deb
from system.front_ends import PACKAGES
from testbed import snapshot
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

MODULE = "/usr/lib/python3/dist-packages/aptguard"
STOP_DAEMON = "systemctl stop aptguard.socket aptguard.service 2>/dev/null"

BROKEN = "echo 'raise ImportError' > /usr/lib/python3/dist-packages/{}/__init__.py"
NEW_POLICY = "echo 'mode = \"enforce\"' > /etc/aptguard/policy.d/new.toml"

# The same hook, but for its patience with a daemon that says nothing.
IMPATIENT = "sed -i 's/^FIRST_BYTE_SECONDS = .*/FIRST_BYTE_SECONDS = 0.5/' /usr/libexec/aptguard/hooklib/*.py"

# A daemon from another time: it knows none of our methods.
OTHER_VERSION = """
import socket
server = socket.socket(socket.AF_UNIX)
server.bind("/run/aptguard/io.github.aptguard")
server.listen()
while True:
    client, _ = server.accept()
    client.recv(1 << 20)
    client.sendall(b'{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"x"}}\\0')
    client.close()
"""


@dataclass(frozen=True, slots=True)
class Ailment:
    """What is broken; runs are ``judged`` as ever, go by the hooks' ``rule``, or ``unguarded``.

    ``without_python``: no package can be removed whose own scripts need Python.
    """

    name: str
    script: str
    effect: str
    says: str = ""
    without_python: bool = False


def full(directory: str) -> str:
    """Return a script that makes a directory one without any room; what was in it stays."""
    return (
        f"mkdir -p {directory}; cp -a {directory} /root/kept; "
        f"mount -t tmpfs -o size=4M,mode=0700 full {directory}; cp -a /root/kept/. {directory}; "
        f"rm -rf /root/kept; cat /dev/zero > {directory}/ballast 2>/dev/null || true"
    )


def little_memory(kibibytes: int) -> str:
    """Return a script that leaves each Python so much address space, setrlimit(2)."""
    return (
        f"{STOP_DAEMON}; real=$(readlink -f /usr/bin/python3); rm /usr/bin/python3;"
        f'printf \'#!/bin/sh\\nulimit -v {kibibytes}\\nexec %s "$@"\\n\' "$real" > /usr/bin/python3;'
        "chmod 755 /usr/bin/python3; systemctl start aptguard.socket"
    )


def read_only(directory: str) -> str:
    """Return a script that makes a directory read-only."""
    return f"mkdir -p {directory}; mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}"


AILMENTS = (
    Ailment("nothing", ":", "judged"),
    Ailment("the daemon is stopped", STOP_DAEMON, "judged"),
    Ailment(
        "the daemon is masked",
        f"{STOP_DAEMON}; systemctl mask aptguard.socket aptguard.service",
        "judged",
    ),
    Ailment(
        "the daemon is killed again and again",
        "for _ in $(seq 12); do"
        " systemctl start aptguard.service; systemctl kill -s KILL aptguard.service; done || true",
        "judged",
    ),
    Ailment(
        "the daemon is of another version",
        f"{STOP_DAEMON}; rm -f /run/aptguard/io.github.aptguard;"
        "systemd-run --quiet python3 /root/other-version.py;"
        "until test -S /run/aptguard/io.github.aptguard; do sleep 0.05; done",
        "judged",
    ),
    Ailment(
        "the daemon hangs",
        f"{IMPATIENT}; aptguard log > /dev/null; kill -STOP $(systemctl show -P MainPID aptguard.service)",
        "judged",
    ),
    Ailment("no memory for a rehearsal", little_memory(60_000), "rule", "NOT JUDGED"),
    Ailment("no memory for Python", little_memory(8_000), "unguarded", "NOT GUARDED", without_python=True),
    Ailment(
        "the ledger is corrupt",
        f"{STOP_DAEMON}; for file in /var/lib/aptguard/*; do"
        ' test -d "$file" || head -c 100000 /dev/urandom > "$file"; done; systemctl start aptguard.socket',
        "judged",
    ),
    Ailment(
        "the policy is corrupt",
        "head -c 1000 /dev/urandom > /etc/aptguard/policy.toml; echo '[[[' > /etc/aptguard/policy.d/x.toml",
        "judged",
    ),
    Ailment("the shipped policy is gone", "rm -r /usr/share/aptguard/policy.d", "judged"),
    Ailment(
        "no policy was ever kept, and the shipped one is gone",
        f"{STOP_DAEMON}; rm -r /usr/share/aptguard/policy.d; rm -f /var/lib/aptguard/policy.last-valid;"
        "systemctl start aptguard.socket",
        "judged",
    ),
    Ailment("/run/aptguard is full", full("/run/aptguard"), "judged"),
    Ailment("/run/aptguard is read-only", read_only("/run/aptguard"), "judged"),
    Ailment("/var/lib/aptguard is full", full("/var/lib/aptguard"), "judged"),
    Ailment("/var/lib/aptguard is read-only", read_only("/var/lib/aptguard"), "judged"),
    Ailment("/tmp is full", "mount -t tmpfs -o size=4k tmp /tmp; cat /dev/zero > /tmp/x || true", "judged"),
    Ailment("/tmp is read-only", "mount -t tmpfs -o ro tmp /tmp", "judged"),
    Ailment(
        "Python is gone",
        f"{STOP_DAEMON}; mv /usr/bin/python3 /usr/bin/python3.away",
        "unguarded",
        "NOT GUARDED",
        without_python=True,
    ),
    Ailment(
        "Python crashes",
        f"{STOP_DAEMON}; mv /usr/bin/python3 /usr/bin/python3.away;"
        "printf '#!/bin/sh\\nkill -SEGV $$\\n' > /usr/bin/python3; chmod 755 /usr/bin/python3",
        "rule",
        "NOT JUDGED",
        without_python=True,
    ),
    Ailment("the module aptguard is gone", f"{STOP_DAEMON}; rm -r {MODULE}", "rule", "NOT JUDGED"),
    Ailment(
        "a library does not load",
        f"{STOP_DAEMON}; {BROKEN.format('pydantic')}; {NEW_POLICY}",
        "rule",
        "NOT JUDGED",
    ),
    # Nothing checks the policy's files while they are those of the kept one; the journal needs no structlog.
    Ailment(
        "libraries do not load that are not needed",
        f"{STOP_DAEMON}; {BROKEN.format('pydantic')}; {BROKEN.format('structlog')}",
        "judged",
    ),
    Ailment("the hooks' library is gone", f"{STOP_DAEMON}; rm -r /usr/libexec/aptguard/hooklib", "unguarded"),
    Ailment("the hooks are gone", "rm -r /usr/libexec/aptguard", "unguarded", "NOT GUARDED"),
    Ailment("aptguard is removed, its conffiles left", "apt-get -y remove aptguard", "unguarded"),
)


@pytest.fixture(scope="module")
def guarded_tree(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tree]:
    """All front ends, aptguard, a toy that is installed and one that is not; made once, booted many times."""
    base = guest_tree_with(version, PACKAGES)
    directory = tmp_path_factory.mktemp("guarded")
    layer = directory / "layer"
    layer.mkdir(mode=0o755)
    toys = [build_deb(directory, name, files={f"/usr/lib/{name}": "x\n"}) for name in ("toy", "other")]
    with Guest(version, tree=base, upper=str(layer)) as guest:
        publish(guest, toys, alone=True)
        guest.write("/root/other-version.py", OTHER_VERSION)
        install_aptguard(guest, aptguard_deb)
        guest.run(["apt-get", "-y", "install", "toy"])
        guest.shut_down()
    for name in ("var/log/journal", "etc/machine-id"):
        subprocess.run(["rm", "-rf", str(layer / name)], check=True)
    (layer / "etc/machine-id").write_text("")
    yield Tree(version, (str(layer), *base.layers))


@pytest.fixture
def machine(version: str, guarded_tree: Tree) -> Iterator[Guest]:
    with Guest(version, tree=guarded_tree) as guest:
        yield guest


def status(machine: Guest, package: str) -> str:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package]
    return machine.run(query, check=False).stdout.strip() or "un"


def installs(machine: Guest) -> Completed:
    return machine.run(["apt-get", "-q", "-y", "install", "other"], check=False)


def purges(machine: Guest, package: str) -> Completed:
    return machine.run(["apt-get", "-q", "-y", "purge", package], check=False)


@pytest.mark.parametrize("ailment", AILMENTS, ids=lambda ailment: ailment.name)
def test_apt_and_dpkg_do_what_the_table_says_and_never_stop_half_way(
    machine: Guest, ailment: Ailment
) -> None:
    machine.run(ailment.script)

    done = installs(machine)
    said = done.stdout + done.stderr
    assert (done.returncode, status(machine, "other")) == (0, "ii"), said
    assert ailment.says in said
    assert "Traceback" not in said
    if ailment.effect == "judged":
        assert "NOT" not in done.stderr, said

    commands = [["dpkg", "-P", "other"]]
    if ailment.effect != "judged":  # one of them tells all where nothing is changed
        commands.append(["apt-get", "-q", "-y", "purge", "toy"])
    for command in commands:
        before = snapshot.take(machine.path("/"), ["/var/lib/dpkg", "/usr/lib/toy", "/usr/lib/other"])
        done = machine.run(command, check=False)
        said = done.stdout + done.stderr
        if ailment.effect == "rule":
            assert done.returncode in (2, 100), said
            after = snapshot.take(machine.path("/"), ["/var/lib/dpkg", "/usr/lib/toy", "/usr/lib/other"])
            assert snapshot.differences(before, after) == [], said
            assert "apt-get purge aptguard" in said and "aptguard pause" in said, said
        else:
            assert (done.returncode, status(machine, command[-1])) == (0, "un"), said
            # Where its hook is gone altogether, dpkg has nobody to say so.
            assert ailment.says in said or command[0] == "dpkg"
        assert "Traceback" not in said

    done = purges(machine, "aptguard")
    assert (done.returncode, status(machine, "aptguard")) == (0, "un"), done.stdout + done.stderr
    done = purges(machine, "toy")
    assert (done.returncode, status(machine, "toy")) == (0, "un"), done.stdout + done.stderr
    assert "aptguard" not in done.stdout + done.stderr
    assert machine.run(["dpkg", "--audit"]).stdout == ""
