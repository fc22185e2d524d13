# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine loses its power: every verdict and override that was answered is still there.

The ledgers lie on a disk of their own, whose every write and flush qemu logs. What was answered is written
outside, through a virtio port, together with how long the log was by then. Afterwards the disk is put
together as it would have been after power cuts at random moments, and at the worst ones: right after each
answer, with what had not been flushed left out, in part or altogether. Each is mounted (the journal is
replayed) and its ledgers are opened.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from packages.builder import build_deb
from testbed import answers, cache
from testbed.vm import SOURCES, VirtualMachine
from testbed.vm_image import Image
from testbed.write_log import Replay
from vm.groups import Outcome

CUTS = 40
_DISK_BYTES = 192 << 20
_ROUNDS = 6
_ALONE_ANSWERS = 150
_SECONDS = 3000.0

_SET_UP = f"""
mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/vdc
mkdir /mnt/power
mount -o nodiscard /dev/vdc /mnt/power
install -d -m 700 /mnt/power/alone /mnt/power/state /var/lib/aptguard
mount --bind /mnt/power/state /var/lib/aptguard
for n in $(seq {_ROUNDS}); do
    echo treasure > /srv/treasure-$n
done
DEBIAN_FRONTEND=noninteractive apt-get -q -y install {SOURCES}/toys/*.deb {SOURCES}/aptguard.deb
sync
"""

_IS_USED = """import json, sys
listed = json.load(sys.stdin)["overrides"]
sys.exit([o["state"] for o in listed if o["id"] == sys.argv[1]] != ["used"])"""

# The real thing: apt is blocked, an administrator overrides, and apt uses the override up or somebody takes
# it back. Each line of the witness comes after the command that it is about has ended.
_PRODUCT = f"""
answered() {{ echo "$1 $2" > /dev/virtio-ports/witness; }}
for n in $(seq {_ROUNDS}); do
    apt-get -q -y remove heir-$n > /run/said 2>&1 && exit 3
    id=$(sed -n 's/.*aptguard override \\([-0-9A-Z]*\\) .*/\\1/p' /run/said | head -n 1)
    test -n "$id" || {{ cat /run/said; exit 4; }}
    answered product-recorded "$id"
    test $((n % 3)) = 1 && continue
    aptguard override "$id" --reason "ticket $n"
    answered product-granted "$id"
    if test $((n % 3)) = 2; then
        aptguard override --revoke "$id"
        answered product-revoked "$id"
    else
        apt-get -q -y remove heir-$n
        aptguard override --list --json | /usr/bin/python3 -c '{_IS_USED}' "$id" || exit 5
        answered product-used "$id"
    fi
done
"""
_ALONE = f"""
cd {SOURCES}/tests/testbed
exec /usr/bin/python3 answers.py /mnt/power/alone alone > /dev/virtio-ports/witness
"""


class Witness:
    """Follows the witness's file: each line with how long the log was when it had come."""

    def __init__(self, file: str, log: str) -> None:
        self.lines: list[tuple[int, str]] = []
        self._file, self._log = file, log
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def wait_for(self, word: str, count: int) -> None:
        """Return when there are ``count`` lines that begin with ``word``, or the time is over."""
        deadline = time.monotonic() + _SECONDS
        while sum(line.startswith(word) for _, line in self.lines) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {count} lines {word!r} in {_SECONDS:g} s")
            time.sleep(0.05)

    def _follow(self) -> None:
        rest = b""
        with open(self._file, "rb") as file:
            while True:
                ended = self._end.is_set()
                rest += file.read()
                whole, _, rest = rest.rpartition(b"\n")
                if whole:
                    length = os.path.getsize(self._log)
                    self.lines += [(length, line.decode()) for line in whole.split(b"\n") if line.strip()]
                elif ended:
                    return
                else:
                    time.sleep(0.0005)


def run_here() -> Outcome:
    """Let a client write a ledger on such a disk of this machine; return how many cuts lost nothing."""
    with cache.own_directory("vm-runs") as directory:
        log, lines = _record_here(directory)
        return _judge(log, lines, directory)


def run(machine: Image, deb: str) -> Outcome:
    """Let the machine work and lose its power; return how many of the cuts lost nothing."""
    with cache.own_directory("vm-runs") as directory:
        log, witness = _record(machine, deb, directory)
        return _judge(log, witness, directory)


def _empty_disk(directory: str) -> tuple[str, str]:
    disk, log = f"{directory}/disk", f"{directory}/log"
    for file, size in ((disk, _DISK_BYTES), (log, 0)):
        with open(file, "wb") as made:
            made.truncate(size)
    return disk, log


def _record_here(directory: str) -> tuple[str, list[tuple[int, str]]]:
    disk, log = _empty_disk(directory)
    export, top, witness_file = f"{directory}/export", f"{directory}/top", f"{directory}/witness"
    os.mkdir(top)
    for file in (export, witness_file):
        with open(file, "wb"):
            pass
    nodes = [f"file,node-name=disk,filename={disk}", f"file,node-name=log,filename={log}"]
    nodes.append("blklogwrites,node-name=logged,file=disk,log=log")
    command = ["setpriv", "--pdeathsig", "KILL", "qemu-storage-daemon"]
    for node in nodes:
        command += ["--blockdev", f"driver={node}"]
    command += ["--export", f"type=fuse,id=export,node-name=logged,mountpoint={export},writable=on"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as daemon:
        try:
            while os.path.getsize(export) != _DISK_BYTES:
                if daemon.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} ended with {daemon.returncode}")
                time.sleep(0.01)
            options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, export], check=True)
            subprocess.run(["mount", "-o", "loop,nodiscard", export, top], check=True)
            try:
                lines = _write_here(top, witness_file, log)
            finally:
                subprocess.run(["umount", top], check=True)
        finally:
            subprocess.run(["umount", "--lazy", export], check=False)
            daemon.terminate()
    return log, lines


def _write_here(top: str, witness_file: str, log: str) -> list[tuple[int, str]]:
    for name in ("alone", "state"):
        os.mkdir(f"{top}/{name}", 0o700)
    os.sync()
    with Witness(witness_file, log) as witness, open(witness_file, "ab") as told:
        witness.lines.append((os.path.getsize(log), "set up"))
        command = [sys.executable, answers.__file__, f"{top}/alone", os.urandom(4).hex()]
        with subprocess.Popen(command, stdout=told) as client:
            try:
                witness.wait_for("recorded", _ALONE_ANSWERS // 2)
            finally:
                client.kill()
    return witness.lines


def _record(machine: Image, deb: str, directory: str) -> tuple[str, list[tuple[int, str]]]:
    disk, log = _empty_disk(directory)
    drive = {
        "driver": "blklogwrites",
        "file": {"driver": "file", "filename": disk},
        "log": {"driver": "file", "filename": log},
    }
    files = {"aptguard.deb": deb}
    for number in range(1, _ROUNDS + 1):
        postrm = f'if [ "$1" = remove ]; then rm -f /srv/treasure-{number}; fi'
        toy = build_deb(directory, f"heir-{number}", scripts={"postrm": postrm})
        files[f"toys/{os.path.basename(toy)}"] = toy
    with VirtualMachine(machine, files=files, drives=[drive], lean=True) as vm:
        vm.run(_SET_UP, timeout=_SECONDS)
        with Witness(vm.witness, log) as witness:
            witness.lines.append((os.path.getsize(log), "set up"))
            vm.run(_PRODUCT, timeout=_SECONDS)
            vm.start(_ALONE, timeout=_SECONDS)
            witness.wait_for("recorded", _ALONE_ANSWERS // 2)
            time.sleep(random.uniform(0, 0.5))
            vm.cut_power()
        return log, witness.lines


def _judge(log: str, lines: list[tuple[int, str]], directory: str) -> Outcome:
    seed = os.urandom(4).hex()
    chance = random.Random(seed)
    replay = Replay(log, _DISK_BYTES, directory)
    start = lines[0][0]
    product = [length for length, line in lines if line.startswith("product-")]
    alone = [length for length, line in lines[1:] if not line.startswith("product-")]
    cuts = [*product, *chance.sample(alone, min(len(alone), CUTS // 4))]
    # The client alone is quick and comes last.
    middle = max(product, default=start)
    cuts += [chance.randint(start, middle) for _ in range(CUTS // 4 if product else 0)]
    while len(cuts) < CUTS:
        cuts.append(chance.randint(middle, replay.end))
    good, told = 0, []
    for cut in sorted(cuts):
        before = [line for length, line in lines[1:] if length <= cut]
        with _mounted(replay.image(cut, chance), f"{directory}/mounted") as top:
            lost = answers.lost(f"{top}/alone", [line for line in before if not line.startswith("product-")])
            shown = [line.removeprefix("product-") for line in before if line.startswith("product-")]
            lost += answers.lost(f"{top}/state", shown)
        if lost:
            told.append(f"power cut at byte {cut} of the log (seed {seed}): {'; '.join(lost[:5])}")
        else:
            good += 1
    counts = ", ".join(
        f"{sum(bool(re.match(word, line)) for _, line in lines)} {what}"
        for word, what in (("product-", "answers of the guard"), ("[rgu]", "answers of the ledger alone"))
    )
    summary = (
        f"{len(cuts)} power cuts, {len(product) + min(len(alone), CUTS // 4)} right after an answer; {counts}"
    )
    return Outcome(good, len(told), 0, (summary, *told))


@contextlib.contextmanager
def _mounted(image: str, directory: str) -> Iterator[str]:
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory)
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
