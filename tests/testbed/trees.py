# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of Debian 12 and 13, made once and kept: base trees, and layers of packages on them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from testbed import cache

CODENAMES = {"12": "bookworm", "13": "trixie"}

# What a booted server has and what the tests call; nothing of aptguard itself.
BASE_PACKAGES = (
    "adduser",
    "dbus",
    "iproute2",
    "perl",
    "procps",
    "python3-apt",
    "python3-hypothesis",
    "python3-pydantic",
    "python3-pytest",
    "python3-structlog",
    "python3-systemd",
    "systemd",
    "systemd-sysv",
)

APT_OPTIONS = (
    'Acquire::Check-Valid-Until "false"',
    'Acquire::Check-Date "false"',
    'Acquire::Languages "none"',
    'Acquire::Retries "3"',
)

_CACHED = "var/cache/apt/archives"


@dataclass(frozen=True, slots=True)
class Tree:
    """A root file system as directories to be laid over each other, the uppermost first."""

    version: str
    layers: tuple[str, ...]


def base_tree(version: str, extra: Iterable[str] = ()) -> str:
    """Return the directory of a Debian that can be booted, with the libraries that aptguard needs.

    :param version: ``12`` or ``13``.
    :raises RuntimeError: mmdebstrap failed; the message holds what it said.
    """
    return _bootstrapped(version, (*BASE_PACKAGES, *extra))


def bare_tree(version: str, packages: Iterable[str] = ("make",)) -> str:
    """Return the directory of the smallest Debian that has apt, with ``packages`` and nothing else."""
    return _bootstrapped(version, tuple(packages))


def guest_tree_with(version: str, packages: Iterable[str], setup: str = "") -> Tree:
    """Return the base tree with more packages installed on it in a booted guest.

    ``setup`` is a script that runs there after the installation (a database gets its rows); the
    guest is shut down in order afterwards. Kept under a key made of all of these.
    """
    from testbed.guest import Guest  # a guest is made from a tree, and this tree from a guest

    base = base_tree(version)
    packages = sorted(set(packages))

    def make(directory: str) -> None:
        os.mkdir(directory, 0o755)
        with Guest(version, tree=base, upper=directory) as guest:
            guest.run(["apt-get", "update"], timeout=300)
            guest.install(*packages)
            if setup:
                guest.run(setup, timeout=300)
            guest.shut_down()
        _forget_the_boot(directory, version)

    layer = cache.made_once("layers", f"{version}-{cache.key(base, *packages, setup)}", make)
    return Tree(version, (layer, base))


def as_tree(version: str, tree: str | Tree | None) -> Tree:
    """Return the tree itself, the tree of a directory, or by default the base tree."""
    if isinstance(tree, Tree):
        return tree
    return Tree(version, (tree or base_tree(version),))


def apt_sources(version: str) -> tuple[str, str]:
    """Return this machine's own apt sources with the suite replaced, and the suffix of their format.

    :raises RuntimeError: this machine has no apt sources to learn from.
    """
    with open("/etc/os-release", encoding="utf-8") as file:
        here = re.search(r"^VERSION_CODENAME=\"?(\w+)", file.read(), re.MULTILINE)
    candidates = ("sources.list.d/debian.sources", "sources.list", "sources.list.d/debian.list")
    for name in candidates:
        path = f"/etc/apt/{name}"
        if here and os.path.exists(path) and os.path.getsize(path):
            with open(path, encoding="utf-8") as file:
                text = re.sub(rf"\b{here[1]}\b", CODENAMES[version], file.read())
            return text, "sources" if re.search(r"^Types:", text, re.MULTILINE) else "list"
    raise RuntimeError(f"no apt sources of Debian found under /etc/apt (tried {', '.join(candidates)})")


def _bootstrapped(version: str, packages: tuple[str, ...]) -> str:
    if version not in CODENAMES:
        raise ValueError(f"Debian {version} is not among those tested ({', '.join(CODENAMES)})")
    packages = tuple(sorted(set(packages)))

    def make(directory: str) -> None:
        text, suffix = apt_sources(version)
        sources = os.path.join(cache.cache_directory("sources"), f"debian-{version}.{suffix}")
        with open(sources, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(sources, 0o644)
        _mmdebstrap(version, packages, sources, directory)
        # An empty machine-id is the mark of a system that has not been booted yet: machine-id(5).
        _write(directory, "etc/machine-id", "")
        _write(directory, "etc/hostname", f"debian{version}\n")
        _write(directory, "etc/apt/apt.conf.d/99testbed", "".join(f"{option};\n" for option in APT_OPTIONS))
        for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
            link = os.path.join(directory, "etc/systemd/system", timer)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink("/dev/null", link)

    return cache.made_once("trees", f"{version}-{cache.key(*packages)}", make)


def _mmdebstrap(version: str, packages: tuple[str, ...], sources: str, directory: str) -> None:
    kept = cache.kept_packages(version)
    command = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        "--dpkgopt=force-unsafe-io",
        # The lists stay, so that a guest can install without asking the archive for them again.
        "--skip=download/empty,essential/unlink,cleanup/apt",
        f'--setup-hook=mkdir -p "$1/{_CACHED}"',
        f'--setup-hook=find {kept} -name "*.deb" -exec cp -t "$1/{_CACHED}" {{}} +',
    ]
    command += [f"--aptopt={option}" for option in APT_OPTIONS]
    if packages:
        command.append(f"--include={','.join(packages)}")
    made = subprocess.run(
        [*command, CODENAMES[version], directory, sources],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(
            f"mmdebstrap could not make a Debian {version} in {directory}:\n{made.stdout[-4000:]}"
        )
    _empty_package_cache(directory, version)


def _empty_package_cache(directory: str, version: str) -> None:
    archives = os.path.join(directory, _CACHED)
    cache.keep_packages(archives, version)
    for name in os.listdir(archives) if os.path.isdir(archives) else ():
        if name.endswith(".deb"):
            os.unlink(os.path.join(archives, name))


def _forget_the_boot(upper: str, version: str) -> None:
    """Take out of a layer what one boot leaves behind, so that each guest boots for the first time."""
    _empty_package_cache(upper, version)
    for path in ("var/log/journal", "var/lib/systemd/random-seed", "etc/resolv.conf"):
        cache.remove_tree(os.path.join(upper, path))
    _write(upper, "etc/machine-id", "")


def _write(directory: str, path: str, text: str) -> None:
    whole = os.path.join(directory, path)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "w", encoding="utf-8") as file:
        file.write(text)
