# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away machine with aptguard's hooks in place, and an engine that answers as the test says."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.machine import Machine
from testbed.repository import packages_index

HOOKS = Path(__file__).resolve().parent.parent.parent / "hooks"
LIBEXEC = "/usr/libexec/aptguard"
APT_CONFIGURATION = "/etc/apt/apt.conf.d/05aptguard"
DPKG_CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/aptguard"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

# Stands in for aptguard.guard.embedded: notes the question, gives the answer that lies in /srv.
_ENGINE = """
import json, sys
request = json.load(sys.stdin)
with open("/srv/questions", "a") as file:
    file.write(json.dumps(request) + "\\n")
print(open("/srv/answer").read())
"""
_REPOSITORY = "/srv/repository"


class HookedMachine:
    """The machine with the hooks as they are installed, and what apt and dpkg do on it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        for source in [*HOOKS.iterdir(), *(HOOKS / "hooklib").iterdir()]:
            if source.is_file() and source.name != "05aptguard":
                self._copy(source, f"{LIBEXEC}/{source.relative_to(HOOKS)}")
        self._copy(HOOKS / "05aptguard", APT_CONFIGURATION)
        self._copy(HOOKS / "dpkg.cfg.d" / "aptguard", DPKG_CONFIGURATION)
        package = "/usr/lib/python3/dist-packages/aptguard"
        machine.write(f"{package}/__init__.py", "")
        machine.write(f"{package}/guard/__init__.py", "")
        machine.write(f"{package}/guard/embedded.py", _ENGINE)
        machine.write("/etc/apt/sources.list.d/toys.list", f"deb [trusted=yes] file:{_REPOSITORY} ./\n")
        self.answer(0)

    def _copy(self, source: Path, inside: str) -> None:
        self.machine.write(inside, source.read_text(), source.stat().st_mode & 0o777)

    def answer(self, code: int, **more: Any) -> None:
        """Make the engine answer each question with this exit code."""
        verdict = "allow" if code == 0 else "block"
        reply = {"exit": code, "text": "" if code == 0 else "engine: BLOCKED\n", "verdict": verdict, **more}
        self.machine.write("/srv/answer", json.dumps({"outcome": "pass", "id": "", **reply}))

    def break_engine(self) -> None:
        """Make it impossible to ask anybody."""
        shutil.rmtree(self.machine.path("/usr/lib/python3/dist-packages/aptguard"))

    def publish(self, archives: Iterable[str]) -> None:
        """Let apt know these packages, and no others."""
        archives = list(archives)
        for archive in archives:
            target = self.machine.path(f"{_REPOSITORY}/{os.path.basename(archive)}")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(archive, target)
        self.machine.write(f"{_REPOSITORY}/Packages", packages_index(archives))
        only = ["-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/toys.list"]
        done = self.run("apt-get", "-q", "update", *only, "-o", "Dir::Etc::sourceparts=-")
        assert done.returncode == 0, done.stdout

    def run(
        self, *command: str, environment: Mapping[str, str] = ENVIRONMENT, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine; its errors come with its output."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.machine.pid}/ns/mnt", "--", "env", "--chdir=/", *command],
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **options,
        )

    def apt(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run apt-get without questions."""
        return self.run("apt-get", "-y", "-o", "DPkg::Options::=--force-unsafe-io", *words, **options)

    def install(self, *names: str) -> None:
        """Install packages while nobody guards, and forget the questions."""
        done = self.run("dpkg", "--force-unsafe-io", "-i", *(f"{_REPOSITORY}/{n}_1.0_all.deb" for n in names))
        assert done.returncode == 0, done.stdout
        self.machine.write("/srv/questions", "")

    def status(self, name: str) -> str:
        """Return dpkg's words on a package, ``un`` when it knows none."""
        done = self.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name)
        return done.stdout.strip() if done.returncode == 0 else "un"

    def questions(self) -> list[dict[str, Any]]:
        """Return what the engine was asked, each with its input decoded."""
        path = self.machine.path("/srv/questions")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            asked = [json.loads(line) for line in file]
        for question in asked:
            question["input"] = base64.b64decode(question["parameters"].get("input", "")).decode()
        return asked

    def methods(self) -> list[str]:
        """Return the methods that the engine was asked."""
        return [question["method"] for question in self.questions()]

    def approvals(self) -> list[str]:
        """Return the names of the approvals that lie about."""
        try:
            return os.listdir(self.machine.path("/run/aptguard/approved"))
        except FileNotFoundError:
            return []
