# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest that is measured on: a server with aptguard and the peers, and toy packages for apt."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from bench.inside import hooks
from packages.builder import build_deb
from testbed import cache
from testbed.guest import Guest, GuestError
from testbed.repository import publish
from testbed.server import install_aptguard
from testbed.trees import bare_tree, guest_tree_with

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
_LARGE = {"12": "libboost1.74-dev", "13": "libboost1.83-dev"}
_PEERS = (
    "apt-listbugs",
    "bubblewrap",
    "etckeeper",
    "git",
    "hello",
    "manpages-dev",
    "needrestart",
    "piuparts",
)
_INSIDE = "/root/bench/inside"
TRY = "/root/bench/try"  # see inside/start.py
_LISTBUGS = "/etc/apt/apt.conf.d/10apt-listbugs"
_TOYS = "5"  # raise it when the toys change


@contextlib.contextmanager
def booted(version: str, root: str) -> Iterator[Guest]:
    """Yield a guest that is ready to be asked; ``root`` is where its files are (see testbed.guest)."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        deb = _aptguard(directory)
        tree = guest_tree_with(version, (*_PEERS, _LARGE[version]))
        with Guest(version, tree=tree, root=root) as guest:
            # It would stop each run of apt here, where it reaches no bug tracking system.
            guest.run(f"mkdir {hooks.AWAY}; mv {_LISTBUGS} {hooks.AWAY}/{_LISTBUGS.replace('/', '_')}")
            install_aptguard(guest, deb)
            guest.copy_in(os.path.join(HERE, "inside"), _INSIDE)
            subprocess.run(["cp", "-a", bare_tree(version, ()), guest.path("/srv/chroot")], check=True)
            publish(guest, _toys())
            guest.install("--reinstall", "--download-only", "hello")
            # A postrm that goes wrong is installed once, and only ever purged in a rehearsal or a copy.
            boom = build_deb(directory, "boom", scripts={"postrm": '[ "$1" = purge ] && rm -rf /*\nexit 0'})
            guest.copy_in(boom, "/root/boom.deb")
            guest.run(["dpkg", "--install", "/root/boom.deb"])
            yield guest


def ask(guest: Guest, name: str) -> dict[str, Any]:
    """Have one question measured; ``{"failed": text}`` when that went wrong."""
    try:
        done = guest.run(
            ["/usr/bin/python3", "-B", "-m", "inside", name],
            timeout=900,
            env={"PYTHONPATH": "/root/bench"},
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (GuestError, ValueError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error)[-3000:]}
    return answer


def _aptguard(directory: str) -> str:
    made = subprocess.run(
        ["make", "--no-print-directory", "deb", f"BUILD={directory}/build"],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(f"make deb failed:\n{made.stdout[-3000:]}{made.stderr[-3000:]}")
    return made.stdout.strip().splitlines()[-1]


def _toys() -> list[str]:
    """Return the archives of 300 small packages, second versions of 30 and two with a trigger, built once."""

    def make(directory: str) -> None:
        os.mkdir(directory)
        for number in range(1, 301):
            name = f"toy-{number:03}"
            for version in ("1.0", "2.0")[: 2 if number <= 30 else 1]:
                build_deb(
                    directory,
                    name,
                    version,
                    files={
                        f"/usr/bin/{name}": f"#!/bin/sh\necho {version}\n",
                        f"/usr/share/doc/{name}/copyright": "public domain\n" * 50,
                        f"/usr/share/{name}/data": f"{version}\n" * 2000,
                        f"/etc/{name}.conf": "answer = 42\n",
                    },
                    modes={f"/usr/bin/{name}": 0o755},
                    scripts={
                        "postinst": f'[ "$1" != configure ] || mkdir -p /var/lib/{name}',
                        "prerm": "exit 0",
                        "postrm": f'[ "$1" != purge ] || rm -rf /var/lib/{name}',
                    },
                )

        triggered = '[ "$1" != triggered ] || cp -R /usr/share/doc /var/lib/toy-index'
        scripts = {"postinst": triggered, "prerm": "exit 0", "postrm": "rm -rf /var/lib/toy-index"}
        interest = {"triggers": "interest-noawait /usr/share/toy-fired\n"}
        build_deb(directory, "toy-index", scripts=scripts, control_files=interest)
        build_deb(directory, "toy-fires", files={"/usr/share/toy-fired/file": "1\n"})

    place = cache.made_once("toys", cache.key(_TOYS), make)
    return sorted(os.path.join(place, name) for name in os.listdir(place))
