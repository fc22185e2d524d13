# SPDX-License-Identifier: GPL-3.0-or-later
"""``make test-vm``: the suites inside of virtual machines with Debian 12's and 13's own kernels."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [_TESTS, os.path.join(os.path.dirname(_TESTS), "src")]

from testbed.cache import cache_directory  # noqa: E402
from testbed.server import PROJECT  # noqa: E402
from testbed.trees import CODENAMES, base_tree  # noqa: E402
from testbed.vm import SOURCES, MachineError, VirtualMachine, acceleration  # noqa: E402
from testbed.vm_image import Image, image  # noqa: E402
from vm import power  # noqa: E402
from vm.groups import Group, Outcome, groups, outcome  # noqa: E402

_GROUP_SECONDS = 5400.0  # against hangs; a busy host makes a machine ten times slower
_DEB = "aptguard.deb"
POWER = "power cuts"

# The machine's own root, without what is mounted in it, is the tree on which rehearsals are tried, and the
# tree from which containers in it are booted. An overlay takes no layer that lies inside of another one.
_PREPARE = """
mkdir -p {tree} {packages} /root/.cache
mount -t tmpfs tmpfs {packages}
mount --bind / {tree}
mount --make-private {tree}
"""
# On disk, with room for images of disks: Debian 13's /tmp is in memory.
_PYTEST = """
cd {sources}
export TMPDIR=/var/tmp/group
rm -rf $TMPDIR
mkdir -p $TMPDIR
export APTGUARD_TESTBED={cache} APTGUARD_TEST_TREE={tree} APTGUARD_TEST_DEB={sources}/{deb} APTGUARD_TEST_VM=1
export APTGUARD_MUST_WORK={must_work} APTGUARD_WHOLE=1
set -o pipefail
/usr/bin/python3 -m pytest -p no:cacheprovider -v -rfEsR --tb=short --reruns 1 {arguments} 2>&1 |
    tee -a /dev/virtio-ports/witness
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the groups and print a line for each; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description=__doc__)
    parser.add_argument("--debian", choices=sorted(CODENAMES), action="append", help="only this version")
    parser.add_argument("--group", action="append", help="only this group (see groups.toml)")
    parser.add_argument("--pytest", default="", help="more arguments for pytest")
    parser.add_argument("--verbose", action="store_true", help="print all that pytest says")
    options = parser.parse_args(arguments)
    known = {group.name: group for group in groups()}
    wanted = options.group or [*known, POWER]
    unknown = [name for name in wanted if name not in known and name != POWER]
    if unknown:
        parser.error(f"there is no group {unknown[0]!r}; known are: {', '.join([*known, POWER])}")
    good = True
    if POWER in wanted:
        good &= _report("here", POWER, *_timed(power.run_here), verbose=options.verbose)
    with _package() as deb:
        for version in options.debian or sorted(CODENAMES):
            machine = image(version)
            name, _ = acceleration(machine.kernel)
            print(f"Debian {version}, kernel {machine.release}, processor by {name}", flush=True)
            chosen = [known[group] for group in wanted if group in known]
            good &= _run_groups(machine, chosen, deb, options.pytest, options.verbose)
            if POWER in wanted:
                good &= _report(
                    f"Debian {version}", POWER, *_timed(power.run, machine, deb), verbose=options.verbose
                )
    return 0 if good else 1


@contextlib.contextmanager
def _package() -> Iterator[str]:
    """The package as ``make deb`` builds it, in a place of its own."""
    with tempfile.TemporaryDirectory(prefix="aptguard-vm-") as build:
        made = subprocess.run(
            ["make", "--no-print-directory", "deb", f"BUILD={build}"],
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            sys.exit(f"make deb failed:\n{made.stdout[-3000:]}{made.stderr[-3000:]}")
        (deb,) = (name for name in os.listdir(build) if name.endswith("_all.deb"))
        yield f"{build}/{deb}"


def _run_groups(machine: Image, chosen: Sequence[Group], deb: str, arguments: str, verbose: bool) -> bool:
    good = True
    with contextlib.ExitStack() as stack:
        shared: VirtualMachine | None = None
        for group in chosen:
            with contextlib.ExitStack() as own:
                try:
                    if group.boot:
                        stack.close()  # one machine at a time
                        shared = None
                        vm = own.enter_context(_booted(machine, deb, lean=False))
                    else:
                        vm = shared = shared or stack.enter_context(_booted(machine, deb, lean=True))
                    result, seconds = _timed(_run_group, vm, group, arguments, verbose)
                except MachineError as problem:
                    result, seconds = Outcome(0, 1, 0, (str(problem),)), 0.0
                    shared = None  # the next group gets a new one
            good &= _report(f"Debian {machine.version}", group.name, result, seconds, verbose=verbose)
    return good


@contextlib.contextmanager
def _booted(machine: Image, deb: str, *, lean: bool) -> Iterator[VirtualMachine]:
    with VirtualMachine(machine, files={_DEB: deb}, lean=lean) as vm:
        facts = vm.facts
        print(
            f"  booted: kernel {facts['release']}, systemd {facts['state']}, AppArmor {facts['apparmor']},"
            f" {facts['uptime']:.0f} s",
            flush=True,
        )
        if facts["apparmor"] != "Y":
            raise MachineError("the machine has no AppArmor")
        vm.run(_PREPARE.format(tree=base_tree(machine.version), packages=cache_directory("packages")))
        yield vm


def _run_group(vm: VirtualMachine, group: Group, arguments: str, verbose: bool) -> Outcome:
    words = [*group.tests, *shlex.split(arguments)]
    if not group.serial:
        words += ["-n", "2", "--dist", "loadfile" if group.by_file else "load"]
    if group.only_own_version:
        others = (f"not debian{version}" for version in CODENAMES if version != vm.image.version)
        words += ["-k", " and ".join(others)]
    script = _PYTEST.format(
        sources=SOURCES,
        tree=base_tree(vm.image.version),
        deb=_DEB,
        cache=cache_directory(),
        must_work=shlex.quote(os.environ.get("APTGUARD_MUST_WORK", "")),
        arguments=shlex.join(words),
    )
    done = vm.run(script, timeout=_GROUP_SECONDS, check=False)
    if verbose or done.returncode not in (0, 5):
        print(done.stdout, done.stderr, flush=True)
    return outcome(done.returncode, done.stdout)


def _timed(function, *arguments):  # type: ignore[no-untyped-def]
    start = time.monotonic()
    return function(*arguments), time.monotonic() - start


def _report(where: str, name: str, result: Outcome, seconds: float, *, verbose: bool) -> bool:
    print(
        f"{where}: {name}: {result.passed} passed, {result.failed} failed,"
        f" {result.skipped} skipped ({seconds:.0f} s)",
        flush=True,
    )
    for line in result.lines:
        print(f"    {line}", flush=True)
    return result.good


if __name__ == "__main__":
    sys.exit(main())
