# SPDX-License-Identifier: GPL-3.0-or-later
"""What one incident is, as data: the packages, the state of the machine, the operation, what must come of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from packages.builder import build_deb
from testbed import cache

# Where the packages of an incident lie on its machine.
ARCHIVES = "/var/tmp/archives"

# Where everything falls, any rule may speak.
EVERYTHING = frozenset({"*"})


@dataclass(frozen=True)
class Toy:
    """A package to be built; the fields are the arguments of packages.builder.build_deb."""

    name: str
    version: str = "1.0"
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    depends: str = ""
    conffiles: tuple[str, ...] | None = None
    architecture: str = "all"
    fields: Mapping[str, str] = field(default_factory=dict)
    control_files: Mapping[str, str] = field(default_factory=dict)
    owner: tuple[int, int] | None = None

    @property
    def archive(self) -> str:
        """Where the package lies on the machine."""
        return f"{ARCHIVES}/{self.file}"

    @property
    def file(self) -> str:
        """The usual name of the archive: without the epoch."""
        return f"{self.name}_{self.version.rpartition(':')[2]}_{self.architecture}.deb"

    def build(self) -> str:
        """Build it, or take it from the cache, and return the path of the .deb file."""
        arguments = {one.name: getattr(self, one.name) for one in fields(self)}
        directory = cache.made_once(
            "toys", cache.key(repr(arguments)), lambda place: _discard(build_deb(place, **arguments))
        )
        return f"{directory}/{self.file}"


def _discard(_: str) -> None:
    pass


@dataclass(frozen=True)
class Told:
    """One finding that the report must hold.

    ``path`` is where it points, or one of its examples; ``script`` is the maintainer script and its argument.
    """

    rule: str
    path: str | None = None
    account: str | None = None
    package: str | None = None
    script: str | None = None
    severity: str = "block"


@dataclass(frozen=True)
class Incident:
    """One transaction on one machine.

    ``name`` is a sentence; ``source`` is the row of the collection of incidents. ``installed`` are on the
    machine from the beginning, ``present`` only lie there as files. ``before`` is a script that runs first.
    ``precondition`` is one that brings the machine into the state that the accident needs, run two years
    after the installation, while nobody guards it. ``operation`` is a command
    line. ``told`` is what must be reported; ``also`` are further rules that may be. ``kept`` are paths that
    must be there before and after. For an operation that goes through, ``gone`` must have been there and be
    gone, and ``made`` must be there afterwards. ``effects`` are words that must be among what was attempted
    beyond files.
    """

    name: str
    source: str
    operation: str
    verdict: str = "block"
    told: tuple[Told, ...] = ()
    also: frozenset[str] = frozenset()
    installed: tuple[Toy, ...] = ()
    present: tuple[Toy, ...] = ()
    before: str = ""
    precondition: str = ""
    gap: str = ""  # what the product cannot do yet, where it fails this incident
    environment: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    fails: bool = False  # an operation that goes through, but whose scripts fail

    @property
    def argv(self) -> list[str]:
        """The words of the operation."""
        return shlex.split(self.operation)

    @property
    def toys(self) -> tuple[Toy, ...]:
        """All packages of it."""
        return (*self.installed, *self.present)


def purge(name: str) -> str:
    """Return the usual way to purge a package."""
    return f"apt-get -y purge {name}"


def remove(name: str) -> str:
    """Return the usual way to remove a package."""
    return f"apt-get -y remove {name}"


def install(*toys: Toy) -> str:
    """Return the usual way to install, or upgrade to, packages that lie on the machine."""
    return " ".join(["apt-get -y --allow-downgrades install", *(toy.archive for toy in toys)])


def harmless(name: str, operation: str, **more: object) -> Incident:
    """Return a benign counterpart: it must pass without a word."""
    return Incident(name, "benign", operation, verdict="allow", **more)  # type: ignore[arg-type]
