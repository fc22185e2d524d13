# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon is killed again and again, at any moment: what it has answered is so afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

HEIRS = 6
# Each request has its own moment at which the daemon is killed, at random within the time that the one before
# took. Each line is written when the command that it is about has ended: that is what somebody was told.
REQUESTS = """
took=500
killed_meanwhile() {
    : > /root/going
    ( sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
      while test -e /root/going; do
          pkill -KILL -f libexec/aptguard/aptguardd && echo killed >> /root/kills && break
          sleep 0.02
      done ) &
    local killer=$! start=$(date +%s%3N)
    "$@" > /root/said 2>&1
    local status=$?
    rm /root/going
    took=$(($(date +%s%3N) - start))
    wait $killer
    systemctl reset-failed aptguard.service aptguard.socket 2>/dev/null
    systemctl start aptguard.socket
    return $status
}
for n in $(seq HEIRS); do
    moment=$((RANDOM % (took + 1)))
    killed_meanwhile apt-get -q -y remove heir-$n && { echo "went through"; exit 3; }
    id=$(sed -n 's/.*aptguard override \\([-0-9A-Z]*\\) .*/\\1/p' /root/said | head -n 1)
    test -n "$id" || { echo "no verdict for heir-$n"; cat /root/said; continue; }
    echo "blocked $id"
    moment=$((RANDOM % 300))
    killed_meanwhile aptguard override "$id" --reason "ticket $n" || { cat /root/said; continue; }
    echo "granted $id"
    test $((n % 2)) = 0 || continue
    moment=$((RANDOM % 300))
    killed_meanwhile aptguard override --revoke "$id" && echo "revoked $id" || cat /root/said
done
""".replace("HEIRS", str(HEIRS))


@pytest.fixture
def machine(guest: Guest, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    debs = []
    for number in range(1, HEIRS + 1):
        victim = f"/srv/treasure-{number}"
        guest.write(victim, "treasure\n")
        postrm = f'if [ "$1" = remove ]; then rm -f {victim}; fi'
        deb = build_deb(toys, f"heir-{number}", scripts={"postrm": postrm})
        debs.append(guest.copy_in(deb, f"/root/heir-{number}.deb"))
    guest.run(["dpkg", "-i", *debs])
    install_aptguard(guest, aptguard_deb)
    yield guest


def test_a_daemon_that_is_killed_at_any_moment_loses_no_answer(machine: Guest) -> None:
    machine.write("/root/requests", REQUESTS)
    told = machine.run(["bash", "/root/requests"], timeout=300).stdout.splitlines()
    answers = [line.split() for line in told if line.startswith(("blocked ", "granted ", "revoked "))]
    assert len([line for line in answers if line[0] == "blocked"]) == HEIRS, told
    assert len([line for line in answers if line[0] == "granted"]) >= HEIRS // 2, told
    unit = machine.run(["journalctl", "--no-pager", "-u", "aptguard.service", "-u", "aptguard.socket"]).stdout
    assert machine.run("cat /root/kills || true").stdout.count("killed") >= HEIRS // 2, unit

    log = json.loads(machine.run(["aptguard", "log", "--json"]).stdout)
    verdicts = {entry["id"]: entry["verdict"] for entry in log["transactions"]}
    listed = json.loads(machine.run(["aptguard", "override", "--list", "--json"]).stdout)
    states = {override["id"]: override["state"] for override in listed["overrides"]}
    for what, identifier in answers:
        assert verdicts.get(identifier) in {"block", "unknown"}, (what, identifier, verdicts)
        if what == "granted":
            assert states.get(identifier) in {"granted", "revoked"}, (identifier, states)
        if what == "revoked":
            assert states.get(identifier) == "revoked", (identifier, states)
    # Nothing went through, and the ledger opened cleanly.
    for number in range(1, HEIRS + 1):
        assert machine.exists(f"/srv/treasure-{number}")
    assert "corrupt" not in machine.run(["ls", "/var/lib/aptguard"]).stdout
