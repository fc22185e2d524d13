# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is killed, and whenever: before dpkg begins nothing is changed, and nothing is ever left behind.

After that dpkg is as it is without a guard: what was begun can be finished, and harm is stopped as before.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from system.drivers import LOCKS
from testbed import snapshot
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

# A removal that takes long as long as a file is there; its sleep is known by its odd number.
SLOW = '[ "$1" != remove ] || [ ! -e /root/slow ] || sleep 631 || [ ! -e /root/slow ]'

# Starts COMMAND, waits until its rehearsal is in the script, does DEED, prints the exit code of COMMAND.
RUN = """
set +e
{prepare}
setsid {command} < /dev/null > /root/said 2>&1 &
started=$!
for _ in $(seq 1200); do pgrep -x sleep -a | grep -q 631 && break; sleep 0.05; done
pgrep -x sleep -a | grep -q 631 || {{ echo "never got there"; cat /root/said; exit 1; }}
{deed}
wait $started
echo "exit $?"
"""
REMOVE = "apt-get -q -y remove slow"
APT = "$(pgrep -x apt-get)"
CLIENT = "$(pgrep -f 'hook-client judge')"

# Stages of a run of apt at which it waits, as hooks of others: before ours, or after.
STAGE = "/etc/apt/apt.conf.d/*stage"
WAIT = "trap '' INT; sleep 631"
STAGES = {
    "before the verdict": ("00stage", f'DPkg::Pre-Invoke {{ "{WAIT}"; }};'),
    "after the verdict": ("99stage", f'DPkg::Pre-Install-Pkgs {{ "{WAIT}"; }};'),
    # From here on the script waits, which the rehearsal has not seen doing so.
    "while dpkg works": ("99stage", 'DPkg::Pre-Install-Pkgs { ": > /root/slow"; };'),
    "when dpkg is done": ("00stage", f'DPkg::Post-Invoke {{ "{WAIT}"; }};'),
}
# What those who are killed leave running for ever, as it would without a guard.
ORPHANS = "kill -KILL $(pgrep -f '[s]leep 631')"

# Everything that a rehearsal consists of, as the guest's PID 1 sees it.
LEFT = """
for _ in $(seq 100); do
    left=$(pgrep -x sleep -a | grep 631; pgrep -x dpkg -a; pgrep -f guard.embedded -a)
    # A rehearsal's layers are mounted nowhere else than at such places.
    mounts=$(grep -l layers/.*/merged /proc/[0-9]*/mountinfo 2>/dev/null)
    test -z "$left$mounts" && break
    sleep 0.05
done
echo "$left$mounts"
"""


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    with Guest(version) as guest:
        harmful = build_deb(toys, "harmful", scripts={"prerm": "[ $1 != remove ] || rm -f /srv/treasure"})
        publish(guest, [build_deb(toys, "slow", scripts={"prerm": SLOW}), harmful], alone=True)
        guest.run(["apt-get", "-y", "install", "slow", "harmful"])
        guest.write("/srv/treasure", "treasure\n")
        install_aptguard(guest, aptguard_deb)
        yield guest


@pytest.fixture
def usable(machine: Guest) -> Iterator[Guest]:
    yield machine
    machine.run(f"rm -f /root/slow {STAGE}; systemctl reset-failed")
    machine.run("dpkg-query -W slow >/dev/null 2>&1 || apt-get -q -y install slow")


def run(machine: Guest, command: str, deed: str, prepare: str = ": > /root/slow") -> Completed:
    """Do RUN; as a file, so that no command line but theirs has the names of the victims in it."""
    machine.write("/root/run", RUN.format(prepare=prepare, command=command, deed=deed))
    return machine.run(["bash", "/root/run"])


def look(machine: Guest) -> snapshot.Snapshot:
    found = snapshot.take(machine.path("/"), ["/var/lib/dpkg"])
    return {path: entry for path, entry in found.items() if not path.endswith((b"/lock", b"/lock-frontend"))}


def assert_nothing_left(machine: Guest) -> None:
    machine.write("/root/left", LEFT)
    assert machine.run(["bash", "/root/left"]).stdout.strip() == ""
    assert machine.run(["dpkg", "--audit"]).stdout == ""
    assert machine.run(["python3", "-c", LOCKS]).stderr == ""


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (f"kill -INT {CLIENT}", 100),  # apt itself ignores ^C while its hook runs
        (f"kill -TERM {APT}", 143),
        (f"kill -HUP {APT}", 129),
        (f"kill -KILL {APT}", 137),
        (f"kill -KILL {CLIENT}", 100),
        ("kill -KILL $(pgrep -f 'libexec/aptguard/apt-hook' | head -n 1)", 100),
    ],
    ids=["interrupted", "apt terminated", "apt hung up", "apt killed", "hook killed", "hook's shell killed"],
)
def test_a_run_that_is_ended_while_it_is_judged_changes_nothing(usable: Guest, deed: str, code: int) -> None:
    before = look(usable)
    done = run(usable, REMOVE, deed)
    assert done.stdout.strip() == f"exit {code}", done.stdout + usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_a_typed_interrupt_while_a_run_is_judged_changes_nothing(usable: Guest) -> None:
    before = look(usable)
    usable.run("rm -f /root/keys; mkfifo /root/keys")
    on_terminal = f"""bash -c 'exec 8<>/root/keys; script -qec "{REMOVE}" /dev/null <&8'"""
    done = run(usable, on_terminal, r"printf '\003' > /root/keys")
    assert done.stdout.strip() == "exit 100", done.stdout + usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_a_call_of_dpkg_whose_hook_is_killed_changes_nothing(usable: Guest) -> None:
    before = look(usable)
    done = run(usable, "dpkg -r slow", "kill -KILL $(pgrep -f 'hook-client dpkg')")
    assert done.stdout.strip() == "exit 2", done.stdout + usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_a_killed_call_of_dpkg_leaves_nothing_behind(usable: Guest) -> None:
    before = look(usable)
    done = run(usable, "dpkg -r slow", "kill -KILL $started")
    assert done.stdout.strip() == "exit 137", done.stdout
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_where_the_daemon_is_killed_the_hook_judges_itself(usable: Guest) -> None:
    deed = "rm /root/slow; systemctl kill --signal KILL aptguard.service"
    done = run(usable, REMOVE, deed)
    assert done.stdout.strip() == "exit 0", usable.read("/root/said")
    assert "NOT" not in usable.read("/root/said")
    assert usable.run(["dpkg-query", "-W", "slow"], check=False).returncode == 1
    assert_nothing_left(usable)


def test_where_the_rehearsal_is_killed_the_verdict_is_unknown(usable: Guest) -> None:
    before = look(usable)
    done = run(usable, REMOVE, "kill -KILL $(ps -o ppid= -C dpkg | head -n 1)")
    assert done.stdout.strip() == "exit 100", usable.read("/root/said")
    assert "BLOCKED" in usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


@pytest.mark.parametrize(
    ("stage", "deed", "codes"),
    [
        # ^C reaches the whole group of processes. apt ignores it while a hook of Pre-Install-Pkgs runs.
        ("before the verdict", "kill -INT -- -$started", "100 130"),
        ("before the verdict", f"kill -KILL {APT}", "137"),
        ("after the verdict", f"kill -INT -- -$started; {ORPHANS}", "100"),
        ("after the verdict", f"kill -KILL {APT}", "137"),
        ("while dpkg works", "kill -INT -- -$started", "100 130"),
        ("while dpkg works", f"kill -KILL {APT}", "137"),
        ("while dpkg works", "kill -KILL $(pgrep -x dpkg)", "100"),
        ("while dpkg works", f"systemctl kill -s KILL aptguard.service; rm /root/slow; {ORPHANS}", "0"),
        ("when dpkg is done", f"kill -KILL {APT}", "137"),
    ],
    ids=lambda value: value.replace("$started", "all").replace(APT, "apt") if "kill" in value else value,
)
def test_what_is_killed_at_any_stage_can_be_finished_and_harm_is_still_stopped(
    usable: Guest, stage: str, deed: str, codes: str
) -> None:
    name, text = STAGES[stage]
    usable.write(f"/etc/apt/apt.conf.d/{name}", text)
    before = look(usable)
    done = run(usable, REMOVE, f"{deed}\n{ORPHANS} 2>/dev/null", ":")
    said = done.stdout + usable.read("/root/said")
    assert done.stdout.split()[-1] in codes.split(), said
    usable.run(f"rm -f /root/slow {STAGE}")
    if stage in ("before the verdict", "after the verdict"):
        assert_nothing_left(usable)
        assert snapshot.differences(before, look(usable)) == [], said

    # What apt was allowed counts for nobody else.
    stopped = usable.run(["dpkg", "-r", "harmful"], check=False)
    assert stopped.returncode == 2 and "BLOCKED" in stopped.stderr, said + stopped.stderr
    for command in ("dpkg --configure -a", REMOVE, "apt-get -q -y install slow"):
        finished = usable.run(command, check=False)
        assert finished.returncode == 0, said + finished.stdout + finished.stderr
    assert_nothing_left(usable)
    assert usable.run("ls -A /run/aptguard/approved").stdout == "", said
