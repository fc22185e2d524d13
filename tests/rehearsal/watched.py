# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away Debian root under two overlays, and a command in it that the watcher observes.

The root holds only what dpkg and shell scripts need: /usr is the machine's own, below an overlay that takes
what the toy packages install; all else is made here, on a tmpfs in a mount namespace of this process.
Run as a program (by `run`) it reads one JSON object from stdin and prints one.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
_BASE = "/mnt"  # covered by a tmpfs in a namespace of our own
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass
class Outcome:
    """What one watched run showed; paths of causes are text with surrogateescape."""

    status: int
    seconds: float
    causes: dict[str, tuple[str | None, str | None, list[str]] | None]
    notes: list[str]
    progress: list[tuple[str | None, str | None, int]]
    stopped: bool
    output: str
    upper: dict[str, str] = field(default_factory=dict)

    def who(self, path: str) -> tuple[str | None, str | None]:
        cause = self.causes[path]
        assert cause is not None, f"nobody is named for {path}"
        return cause[0], cause[1]

    def command(self, path: str) -> list[str]:
        cause = self.causes[path]
        assert cause is not None, f"nobody is named for {path}"
        return cause[2]


def run(
    *command: str,
    installed: tuple[str, ...] = (),
    archives: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
    links: dict[str, str] | None = None,
    packages: tuple[str, ...] = (),
    stop: tuple[str, ...] = (),
    ask: tuple[str, ...] = (),
    many: dict[str, int] | None = None,
    **options: Any,
) -> Outcome:
    """Run ``command`` in a fresh root where the archives ``installed`` are installed and ``files`` and
    ``links`` exist (a path that ends in ``/`` is an empty directory).

    ``archives`` are copied to /archives; ``many`` makes so many empty files in a directory; ``ask`` names
    further paths whose cause is wanted besides all that stand in the uppers afterwards. ``options``:
    watch=False, without_permission, without_fanotify, delay (seconds before each reading), break_after
    (program starts after which the watcher meets an error), unread (changes stay in the queue until a program
    starts, so that the kernel merges all it can), programs_per_script, grace_seconds.
    """
    specification = {
        "command": command,
        "installed": installed,
        "archives": archives,
        "files": files or {},
        "links": links or {},
        "packages": packages,
        "stop": stop,
        "ask": ask,
        "many": many or {},
        **options,
    }
    finished = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, os.path.abspath(__file__)],
        input=json.dumps(specification),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Outcome(**json.loads(finished.stdout))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _make_root(root: str, specification: dict[str, Any]) -> None:
    for name in ("usr", "etc", "tmp", "dev", "proc", "run", "srv", "home", "var/log", "archives"):
        os.makedirs(f"{root}/{name}")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            os.symlink(f"usr/{name}", f"{root}/{name}")
    for name in ("info", "updates", "triggers"):
        os.makedirs(f"{root}/var/lib/dpkg/{name}")
    for name in ("status", "available"):
        open(f"{root}/var/lib/dpkg/{name}", "w").close()
    for name in ("ld.so.cache", "passwd", "group"):
        subprocess.run(["cp", f"/etc/{name}", f"{root}/etc/{name}"], check=True)
    _overlay("/usr", f"{root}/usr", f"{_BASE}/installed", 0)
    open(f"{root}/dev/null", "w").close()
    for archive in specification["archives"]:
        subprocess.run(["cp", archive, f"{root}/archives/"], check=True)
    for archive in specification["installed"]:
        subprocess.run(["cp", archive, f"{root}/tmp/"], check=True)
        name = os.path.basename(archive)
        subprocess.run(
            ["chroot", root, "dpkg", "--force-unsafe-io", "--no-triggers", "-i", f"/tmp/{name}"],
            check=True,
            env=_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
        )
    for path, content in specification["files"].items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        if not path.endswith("/"):
            with open(root + path, "w") as file:
                file.write(content)
    for path, target in specification["links"].items():
        os.symlink(target, root + path)
    for directory, count in specification["many"].items():
        for number in range(count):
            if number % 1000 == 0:
                part = f"{root}{directory}/{number // 1000:03}"
                os.makedirs(part)
            os.mknod(f"{part}/file{number}")


def _overlay(lower: str, target: str, workspace: str, number: int) -> None:
    upper, work = f"{workspace}/upper/{number}", f"{workspace}/work/{number}"
    os.makedirs(upper)
    os.makedirs(work)
    options = f"lowerdir={lower},upperdir={upper},workdir={work},metacopy=on,redirect_dir=on,nodev"
    _mount("-t", "overlay", "-o", options, "rehearsal", target)


def _main() -> None:
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "src"))
    from aptguard.rehearsal import fanotify
    from aptguard.rehearsal.early_stop import EarlyStop
    from aptguard.rehearsal.model import Progress
    from aptguard.rehearsal.watch import Watcher

    @dataclass
    class Layer:
        mount_point: bytes
        upper: int
        lower: int

    specification = json.load(sys.stdin)
    _mount("-t", "tmpfs", "-o", "size=1g,mode=0755", "throw-away", _BASE)
    root, workspace = f"{_BASE}/root", f"{_BASE}/workspace"
    _make_root(root, specification)
    os.makedirs(workspace)
    _mount("-t", "tmpfs", "-o", "size=1g,mode=0700", "workspace", workspace)
    merged = f"{workspace}/merged"
    os.makedirs(merged)
    _overlay(root, merged, workspace, 0)
    _overlay(f"{root}/usr", f"{merged}/usr", workspace, 1)
    _mount("-t", "proc", "proc", f"{merged}/proc")
    _mount("--bind", "/dev/null", f"{merged}/dev/null")

    if specification.get("without_permission") or specification.get("without_fanotify"):
        real = fanotify.init

        def init(flags: int) -> int:
            if specification.get("without_fanotify") or flags & fanotify.FAN_CLASS_CONTENT:
                raise OSError(22, "as on a kernel without it")
            return real(flags)

        fanotify.init = init
    progress: list[Progress] = []
    watcher = Watcher(
        packages=specification["packages"],
        progress=progress.append,
        early_stop=EarlyStop(
            [os.fsencode(path) for path in specification["stop"]],
            grace_seconds=specification.get("grace_seconds", 0.5),
        ),
        programs_per_script=specification.get("programs_per_script", 2000),
    )
    if "break_after" in specification:
        see, left = watcher._see, [specification["break_after"]]

        def failing(pid: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("an error in the watcher")
            see(pid)

        watcher._see = failing  # type: ignore[method-assign]
    opened = os.O_RDONLY | os.O_DIRECTORY
    layers = [
        Layer(b"/", os.open(f"{workspace}/upper/0", opened), os.open(root, opened)),
        Layer(b"/usr", os.open(f"{workspace}/upper/1", opened), os.open(f"{root}/usr", opened)),
    ]
    if specification.get("watch", True):
        watcher.attach(os.open(workspace, opened), os.open(merged, opened), layers)
    changes = watcher.filenos()[-1] if watcher.filenos() else -1
    started = time.monotonic()
    # Every process inside holds the pipe's other end: it hangs up when the last one has ended.
    ended, held = os.pipe()
    payload = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "chroot", merged, *specification["command"]],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=(output := open(f"{_BASE}/output", "w+")),  # noqa: SIM115
        stderr=subprocess.STDOUT,
        pass_fds=(held,),
    )
    os.close(held)
    stopped = False
    while True:
        poll = select.poll()
        poll.register(ended, select.POLLHUP)
        for fd in watcher.filenos():
            poll.register(fd, select.POLLIN)
        wait = watcher.seconds_until_stop()
        ready = [fd for fd, _ in poll.poll(None if wait is None else wait * 1000 + 1)]
        time.sleep(specification.get("delay", 0))
        for fd in ready:
            if fd != ended and not (specification.get("unread") and fd == changes):
                watcher.ready(fd)
        if watcher.should_stop():
            stopped = True
            payload.kill()
        if ended in ready:
            break
    seconds = time.monotonic() - started
    payload.wait()
    watcher.finish()
    watcher.close()
    causes: dict[str, Any] = {}
    upper: dict[str, str] = {}
    for number, mount_point in enumerate(("", "/usr")):
        top = f"{workspace}/upper/{number}"
        for directory, directories, names in os.walk(top):
            for name in (*directories, *names):
                path = mount_point + directory[len(top) :] + "/" + name
                mode = os.lstat(f"{directory}/{name}")
                upper[path] = "whiteout" if mode.st_mode & 0o170000 == 0o020000 else "entry"
    for path in (*upper, *specification["ask"]):
        cause = next(iter(watcher.causes(os.fsencode(path), frozenset())), None)
        causes[path] = cause and (cause.package, cause.script, [os.fsdecode(word) for word in cause.command])
    output.seek(0)
    json.dump(
        {
            "status": payload.returncode,
            "seconds": seconds,
            "causes": causes,
            "notes": watcher.notes,
            "progress": [(step.package, step.script, step.paths) for step in progress],
            "stopped": stopped,
            "output": output.read()[-20000:],
            "upper": upper,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    _main()
