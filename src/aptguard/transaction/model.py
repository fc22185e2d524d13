# SPDX-License-Identifier: GPL-3.0-or-later
"""What is about to happen, as values; standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Action(Enum):
    """What happens to one package."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REINSTALL = "reinstall"
    REMOVE = "remove"
    PURGE = "purge"
    CONFIGURE = "configure"

    @property
    def takes_away(self) -> bool:
        """Whether the package is gone afterwards."""
        return self in (Action.REMOVE, Action.PURGE)

    @property
    def unpacks(self) -> bool:
        """Whether a .deb file is unpacked."""
        return self in (Action.INSTALL, Action.UPGRADE, Action.DOWNGRADE, Action.REINSTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """One package of a transaction.

    ``architecture`` is dpkg's name of it (``amd64``, ``all``); ``multi_arch`` is ``none``, ``same``,
    ``foreign`` or ``allowed``. ``archive`` is the .deb file, raw bytes as apt gave them. ``purge_assumed``
    is set where nobody could tell remove from purge and the worse one was taken.
    """

    package: str
    architecture: str
    action: Action
    old_version: str | None = None
    new_version: str | None = None
    archive: bytes | None = None
    multi_arch: str = "none"
    purge_assumed: bool = False

    @property
    def qualified(self) -> str:
        """The name with architecture, as dpkg takes it on its command line (``libc6:amd64``)."""
        return f"{self.package}:{self.architecture}"


@dataclass(frozen=True, slots=True)
class Transaction:
    """All that one run of apt, or one call of dpkg, is about to do.

    ``frontend`` is ``apt-get``, ``apt``, ``aptitude``, ``packagekit``, ``unattended-upgrade``, ``dpkg`` or
    ``libapt`` (some other program on libapt). ``items`` stand in the order of the plan.
    ``dpkg_options`` are the arguments apt adds to each dpkg call (``DPkg::Options``); ``script_path`` is the
    PATH that apt gives dpkg (``DPkg::Path``), None where the caller's own counts. ``preconfigured``: debconf
    runs the ``config`` scripts of all archives before dpkg is called.
    """

    frontend: str
    items: tuple[Item, ...]
    command_line: str | None = None
    dpkg_options: tuple[bytes, ...] = ()
    script_path: bytes | None = None
    preconfigured: bool = False

    @property
    def takes_away(self) -> tuple[Item, ...]:
        """The items that remove or purge a package."""
        return tuple(item for item in self.items if item.action.takes_away)

    @property
    def headline(self) -> tuple[Item, ...]:
        """The items that a person asks for: without the configuration of what is unpacked anyway."""
        unpacked = {item.qualified for item in self.items if item.action.unpacks}
        return tuple(
            item
            for item in self.items
            if item.action is not Action.CONFIGURE or item.qualified not in unpacked
        )

    @property
    def packages(self) -> frozenset[str]:
        """The names of all packages in it."""
        return frozenset(item.package for item in self.items)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, and the surroundings that the maintainer scripts will really have.

    ``login_uid`` is None where the kernel has none (4294967295). ``user`` is made for reading
    (``alice (sudo)``, ``root``).
    """

    pid: int
    uid: int
    user: str
    login_uid: int | None = None
    environment: dict[bytes, bytes] = field(default_factory=dict)
    cwd: bytes = b"/"
    umask: int = 0o022
    terminal: bool = False
