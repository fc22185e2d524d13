# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of the namespaces that one guest lives in: mounts its root, starts it, and takes it all down.

Run by guest.py through unshare(1). Every mount is made in a mount namespace and every process lives
in a PID namespace of this process, so that its end, even by SIGKILL, leaves neither. It ends when
its standard input is closed, and the kernel closes that when the tests are gone.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from typing import Any

# Real machines let root use fanotify and file handles; the container's filter would not.
SYSTEM_CALLS = "fanotify_init fanotify_mark name_to_handle_at open_by_handle_at"


def mount(kind: str, where: str, options: str = "") -> None:
    """Mount one file system, or raise RuntimeError with what mount(8) said."""
    command = ["mount", "-t", kind, kind, where, *(["-o", options] if options else [])]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {tried.stderr.strip()}")


def make_root(spec: dict[str, Any]) -> str:
    """Mount or copy the root file system of the guest and return its path."""
    work = spec["work"]
    mount("tmpfs", work, "mode=0755")
    root = f"{work}/root"
    os.mkdir(root)
    layers = ":".join(spec["layers"])
    # Layers are the uppers of earlier overlays: nothing may depend on extended features in them.
    plain = "index=off,redirect_dir=nofollow,metacopy=off"
    if spec["copy"]:
        mount("overlay", root, f"{plain},lowerdir={layers}:{spec['empty']}")
        os.mkdir(spec["copy"], 0o755)
        subprocess.run(["cp", "-a", f"{root}/.", spec["copy"]], check=True)
        return str(spec["copy"])
    upper, workdir = spec["upper"] or f"{work}/upper", spec["workdir"] or f"{work}/work"
    for directory in (upper, workdir):
        os.makedirs(directory, mode=0o755, exist_ok=True)
    mount("overlay", root, f"{plain},lowerdir={layers},upperdir={upper},workdir={workdir}")
    return root


def start(spec: dict[str, Any], root: str) -> subprocess.Popen[bytes]:
    """Start systemd-nspawn on the root; its console goes into a file beside it."""
    if os.path.exists("/etc/resolv.conf"):
        target = f"{root}/etc/resolv.conf"
        if os.path.lexists(target):
            os.unlink(target)
        shutil.copyfile("/etc/resolv.conf", target)
    # nspawn wants a tmpfs of its own here; /run is a plain directory where PID 1 is not systemd.
    os.makedirs("/run/systemd/nspawn", exist_ok=True)
    mount("tmpfs", "/run/systemd/nspawn", "mode=0755")
    command = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--machine={spec['machine']}",
        f"--hostname={spec['hostname']}",
        f"--directory={root}",
        "--console=pipe",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--system-call-filter={SYSTEM_CALLS}",
        *spec["arguments"],
    ]
    with open(f"{spec['work']}/console", "wb") as console:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )


def control_groups() -> list[str]:
    """Return the directories of our control groups in the hierarchies that systemd uses (cgroups(7))."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        paths = {kind: path for _, kind, path in (line.rstrip("\n").split(":", 2) for line in file)}
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.split()[:3]
            name = "" if kind == "cgroup2" else "name=systemd" if "name=systemd" in options else None
            if kind.startswith("cgroup") and name is not None and name in paths:
                found.append(fields.split()[4] + paths[name].rstrip("/"))
    return found


def enter_own_groups(machine: str) -> list[str]:
    """Enter a control group of the guest's own and return its directories, one in each hierarchy.

    Else guests that run side by side would have the same ones, as nspawn names them all alike; systemd kills
    what it finds in the group of a service that it stops, and would kill the daemons of other guests.
    """
    made = []
    for above in control_groups():
        own = f"{above}/{machine}"
        try:
            os.makedirs(own, exist_ok=True)
            with open(f"{own}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
            made.append(own)
        except OSError as problem:
            print(f"no control group of its own for the guest: {problem}", file=sys.stderr)
    return made


def leave_groups(groups: list[str]) -> None:
    """Leave the control groups and delete them with all below them, which must be empty."""
    for own in groups:
        try:
            with open(f"{os.path.dirname(own)}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
            for directory, _, _ in os.walk(own, topdown=False):
                os.rmdir(directory)
        except OSError:
            pass  # an empty group that stays behind is in nobody's way


def end(spec: dict[str, Any]) -> None:
    """Kill all that lives in this PID namespace and delete the copy, if there is one on disk."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        pass
    if spec["on_disk"]:
        subprocess.run(["rm", "-rf", "--one-file-system", os.path.dirname(spec["copy"])], check=False)


def main() -> int:
    spec: dict[str, Any] = json.loads(sys.argv[1])
    groups = enter_own_groups(spec["machine"])
    try:
        try:
            nspawn = start(spec, make_root(spec))
        except (OSError, RuntimeError, subprocess.CalledProcessError) as problem:
            print(json.dumps({"error": str(problem)}), flush=True)
            return 1
        print(json.dumps({"started": True}), flush=True)
        while nspawn.poll() is None:
            readable, _, _ = select.select([sys.stdin], [], [], 0.2)
            if readable and not os.read(sys.stdin.fileno(), 1):
                break
        return 0
    finally:
        end(spec)
        leave_groups(groups)


if __name__ == "__main__":
    sys.exit(main())
