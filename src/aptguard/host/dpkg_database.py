# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's database: states, file lists, conffiles, diversions, and who owns a path.

Read as files, never through dpkg-query: it must work for another root, and while dpkg itself is replaced.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from aptguard.host.alternatives import alternative_links
from aptguard.host.canonical import Canonicaliser
from aptguard.host.diversions import Diversions, read_diversions
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.file_index import FileIndex
from aptguard.host.file_lists import FileList, Listings, read_list, search_lists
from aptguard.host.status_file import PRESENT, Stanza, StatusFile
from aptguard.policy.facts import PackageFacts
from aptguard.shown import shown
from aptguard.transaction.package_state import PackageState

_UPDATE = re.compile(rb"[0-9]{4}")  # the journal's files; tmp.i is unfinished (dpkg: lib/dpkg/dbmodify.c)
_MANY_PATHS = 20_000  # from here on one pass over all lists is faster than as many look-ups

__all__ = ["DpkgDatabase", "DpkgDatabaseError", "Owners"]


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose paths are.

    ``known`` maps each path to the installed packages whose file stands there. ``unsure`` are the paths
    that nobody lists, where ``broken`` packages have a list that is damaged or missing and might own them.
    """

    known: dict[bytes, tuple[str, ...]]
    unsure: frozenset[bytes]
    broken: tuple[str, ...]


class DpkgDatabase:
    """The database below ``root``; every method raises DpkgDatabaseError when its part cannot be read.

    Make a new one for each judgement: what was read is kept. ``index`` is the file of the index of lists,
    None to do without one.
    """

    def __init__(self, root: bytes = b"/", *, index: bytes | None = None) -> None:
        self.root = root.rstrip(b"/")
        self.administrative_directory = self.root + b"/var/lib/dpkg"
        self.canonical = Canonicaliser(root)
        self._index_location = index
        self._stanzas: dict[str, dict[str, Stanza]] = {}

    def path_below_root(self, path: bytes) -> bytes:
        """Return where the machine's ``path`` stands for this process."""
        return self.root + path

    @property
    def info_directory(self) -> bytes:
        """Where the file lists are."""
        return self.administrative_directory + b"/info"

    def states(self, packages: Iterable[str] | None = None) -> dict[tuple[str, str], PackageState]:
        """Return the state of all that dpkg knows, or of ``packages``, by (package, architecture)."""
        if packages is None:
            stanzas = self._status_file.stanzas()
        else:
            named = self.stanzas(packages)
            stanzas = {(name, kind): one for name, kinds in named.items() for kind, one in kinds.items()}
        return {key: PackageState(stanza.selection, stanza.status) for key, stanza in stanzas.items()}

    def may_have_selected(self, selection: str) -> bool:
        """Whether any package may have this ``selection``; without looking at each, which takes its time."""
        return self._status_file.may_have_selected(selection)

    def stanzas(self, packages: Iterable[str]) -> dict[str, dict[str, Stanza]]:
        """Return the stanzas of ``packages`` (names without architecture) by name, then by architecture."""
        wanted = frozenset(packages)
        missing = wanted - self._stanzas.keys()
        if missing:
            found: dict[str, dict[str, Stanza]] = {name: {} for name in missing}
            for (name, architecture), stanza in self._status_file.stanzas(missing).items():
                found[name][architecture] = stanza
            self._stanzas |= found
        return {name: self._stanzas[name] for name in wanted}

    def stanza(self, package: str, architecture: str = "") -> Stanza | None:
        """Return the stanza of one package, None when dpkg does not know it.

        Where only one instance is there, or only one has its files on disk, the architecture does not
        matter (a package may change from ``all`` to ``any``).
        """
        instances = self.stanzas([package])[package]
        if architecture in instances:
            return instances[architecture]
        candidates = [one for one in instances.values() if one.status in PRESENT] or [*instances.values()]
        return candidates[0] if len(candidates) == 1 else None

    def package_facts(self, binary_packages: Iterable[str]) -> dict[str, PackageFacts]:
        """Return the facts of the known packages; named as dpkg does (``bash``, ``libc6:amd64``)."""
        names = list(binary_packages)
        self.stanzas(name.partition(":")[0] for name in names)
        found = {}
        for name in names:
            package, _, architecture = name.partition(":")
            stanza = self.stanza(package, architecture)
            if stanza is not None:
                found[name] = _facts(stanza)
        return found

    def file_list(self, package: str, architecture: str = "") -> tuple[bytes, ...]:
        """Return the paths that the package lists, as it wrote them; empty when dpkg does not know it."""
        stanza = self.stanza(package, architecture)
        if stanza is None:
            return ()
        content = self._list_of(stanza)
        if content.odd_lines:
            raise DpkgDatabaseError(
                f"dpkg's list of the files of {shown(stanza.binary_package)} has {content.odd_lines} lines "
                "that are no paths; reinstall the package to get a sound one."
            )
        return content.paths

    def conffiles(self, package: str, architecture: str = "") -> tuple[bytes, ...]:
        """Return the conffiles of the package, as it wrote them; also in state config-files."""
        stanza = self.stanza(package, architecture)
        return () if stanza is None else stanza.conffiles

    def list_name(self, package: str, architecture: str = "") -> bytes:
        """Return the name of the package's list without ``.list``, existing or not."""
        stanza = self.stanza(package, architecture)
        name = package if stanza is None else stanza.binary_package
        return name.encode("utf-8", "surrogateescape")

    @cached_property
    def diversions(self) -> Diversions:
        """All diversions."""
        return read_diversions(self._optional(b"diversions"))

    @cached_property
    def stat_overrides(self) -> frozenset[bytes]:
        """The paths with a stat override (dpkg-statoverride(1): user, group, mode, path)."""
        found = []
        for line in self._optional(b"statoverride").split(b"\n"):
            words = line.split(None, 3)
            if words and len(words) != 4:
                raise DpkgDatabaseError(
                    f"The list of stat overrides has the line '{shown(line)[:80]}', not four words."
                )
            if words:
                found.append(words[3])
        return frozenset(found)

    @cached_property
    def alternatives(self) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
        """(Link paths that update-alternatives manages, sentences on what could not be read)."""
        return alternative_links(self.administrative_directory + b"/alternatives")

    @cached_property
    def ucf_registry(self) -> bytes:
        """The content of ucf's registry, empty when there is none."""
        return self._optional(b"../ucf/registry")

    def owners(self, paths: Iterable[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Return for each of the canonical ``paths`` the installed packages whose file stands there.

        A path nobody lists is absent; raises DpkgDatabaseError when a package without a readable list might
        be its owner.
        """
        owners = self.owners_as_far_as_known(paths)
        if owners.unsure:
            raise DpkgDatabaseError(
                f"Nobody lists {shown(min(owners.unsure))}, but dpkg's list of the files of "
                f"{shown(owners.broken[0])} is damaged or missing and might have named it."
            )
        return owners.known

    def owners_as_far_as_known(self, paths: Iterable[bytes]) -> Owners:
        """Return whose the canonical ``paths`` are, with diversions, and where that cannot be said."""
        asked = frozenset(paths)
        diversions = self.diversions.canonical(self.canonical.path)
        # A diverted file is listed under the path it was shipped with.
        sources = {path: diversions.by_place[path].path for path in asked if path in diversions.by_place}
        found, odd = self._find(asked | frozenset(sources.values()))
        present = self._present({name for listings in found.values() for name, _ in listings})
        owners: dict[bytes, tuple[str, ...]] = {}
        for path in asked:
            names = set()
            for shipped in {path, sources.get(path, path)}:
                for list_name, _ in found.get(shipped, ()):
                    package = present.get(list_name)
                    if package and diversions.place_of(package.partition(":")[0], shipped) == path:
                        names.add(package)
            if names:
                owners[path] = tuple(sorted(names))
        broken = tuple(name.decode("utf-8", "surrogateescape") for name in sorted(odd))
        return Owners(owners, asked - owners.keys() if broken else frozenset(), broken)

    def _find(self, paths: frozenset[bytes]) -> tuple[Listings, frozenset[bytes]]:
        if not paths:
            return {}, frozenset()
        if self._index_location is not None and len(paths) < _MANY_PATHS:
            index = FileIndex(self._index_location, self.info_directory, self.canonical, self._expected_lists)
            try:
                return index.find(paths)
            except (sqlite3.Error, OSError):
                pass  # the lists themselves say the same, only slower
        return search_lists(self.info_directory, paths, self.canonical, self._expected_lists())

    def _expected_lists(self) -> list[bytes]:
        return [
            stanza.binary_package.encode("utf-8", "surrogateescape")
            for stanza in self._status_file.stanzas().values()
            if stanza.status in PRESENT
        ]

    def _present(self, list_names: set[bytes]) -> dict[bytes, str]:
        """Return, of the names of lists, those whose package's files are on disk, as text."""
        names = {name: name.decode("utf-8", "surrogateescape") for name in list_names}
        instances = self.stanzas(name.partition(":")[0] for name in names.values())
        return {
            list_name: name
            for list_name, name in names.items()
            if any(
                stanza.status in PRESENT and name in (stanza.package, stanza.binary_package)
                for stanza in instances[name.partition(":")[0]].values()
            )
        }

    def _list_of(self, stanza: Stanza) -> FileList:
        name = stanza.binary_package.encode("utf-8", "surrogateescape")
        if stanza.status not in PRESENT and not os.path.lexists(self.info_directory + b"/" + name + b".list"):
            return FileList((), 0)
        return read_list(self.info_directory, name)

    @cached_property
    def _status_file(self) -> StatusFile:
        data = self._required(b"status")
        journal = self.administrative_directory + b"/updates"
        try:
            names = sorted(name for name in os.listdir(journal) if _UPDATE.fullmatch(name))
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise DpkgDatabaseError(f"Cannot list {shown(journal)}: {error.strerror}.") from error
        return StatusFile(data, [self._required(b"updates/" + name) for name in names])

    def _required(self, name: bytes) -> bytes:
        path = self.administrative_directory + b"/" + name
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise DpkgDatabaseError(
                f"Cannot read {shown(path)} of dpkg's database: {error.strerror}; "
                "the last copies are in /var/lib/dpkg/status-old and /var/backups."
            ) from error

    def _optional(self, name: bytes) -> bytes:
        path = self.administrative_directory + b"/" + name
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise DpkgDatabaseError(f"Cannot read {shown(path)}: {error.strerror}.") from error


def _facts(stanza: Stanza) -> PackageFacts:
    source = stanza.text(b"source").split("(")[0].strip() or stanza.package
    return PackageFacts(
        package=stanza.package,
        architecture=stanza.architecture,
        status=stanza.status,
        version=stanza.text(b"version"),
        essential=stanza.text(b"essential") == "yes",
        protected=stanza.text(b"protected") == "yes",
        important=stanza.text(b"important") == "yes",
        priority=stanza.text(b"priority"),
        section=stanza.text(b"section"),
        source=source,
    )
