# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's status file (deb822 stanzas, dpkg(1), deb-control(5)), read as bytes.

apt_pkg.TagFile reads the same; this stays independent of it, because it must work in the middle of an
upgrade of python3-apt, and because only the stanzas of a few packages are ever taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aptguard.host.errors import DpkgDatabaseError
from aptguard.shown import shown

# States in which the package's files are, at least partly, on disk.
PRESENT = frozenset(
    {"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed"}
)


@dataclass(frozen=True, slots=True)
class Stanza:
    """One package's fields; names in lower case, values without the leading space of the first line."""

    fields: dict[bytes, bytes]

    def text(self, name: bytes) -> str:
        """Return the field as text, empty when it is not there."""
        return self.fields.get(name, b"").decode("utf-8", "surrogateescape")

    @property
    def package(self) -> str:
        """The name without architecture."""
        return self.text(b"package")

    @property
    def architecture(self) -> str:
        """The name that dpkg has for the architecture, or ``all``."""
        return self.text(b"architecture")

    @property
    def version(self) -> str:
        """The version that is installed, or was last; empty when there never was one."""
        return self.text(b"version")

    @property
    def binary_package(self) -> str:
        """dpkg-query's ``${binary:Package}``: with architecture only for ``Multi-Arch: same``."""
        if self.text(b"multi-arch") == "same":
            return f"{self.package}:{self.architecture}"
        return self.package

    @property
    def selection(self) -> str:
        """What the administrator wants: the first word of Status."""
        return self._status_word(0)

    @property
    def status(self) -> str:
        """Where the package stands: the third word of Status."""
        return self._status_word(2)

    def _status_word(self, index: int) -> str:
        words = self.text(b"status").split()
        if len(words) != 3:
            raise DpkgDatabaseError(
                f"dpkg's status of the package {shown(self.package)} reads "
                f"'{shown(self.text(b'status'))[:60]}', not three words; dpkg --audit tells more."
            )
        return words[index]

    @property
    def conffiles(self) -> tuple[bytes, ...]:
        """The conffiles, with those marked obsolete or remove-on-upgrade (deb-conffiles(5))."""
        return tuple(self.conffile_sums)

    @property
    def conffile_sums(self) -> dict[bytes, bytes]:
        """The conffiles with the MD5 of what was shipped, in hex; ``newconffile`` before the first one."""
        found = {}
        for line in self.fields.get(b"conffiles", b"").split(b"\n"):
            match = _CONFFILE.fullmatch(line.strip())
            if match:
                found[match.group(1)] = match.group(2)
        return found

    @property
    def replaces(self) -> frozenset[str]:
        """The names in Replaces, without versions and architectures."""
        return frozenset(
            name.split(":")[0]
            for relation in self.text(b"replaces").split(",")
            if (name := relation.split("(")[0].strip())
        )


# PATH MD5SUM [obsolete] [remove-on-upgrade]; a freshly declared one has "newconffile" as its sum.
_CONFFILE = re.compile(rb"(/.*) ([0-9a-f]{32}|newconffile)(?: obsolete)?(?: remove-on-upgrade)?")
_NAME = re.compile(rb"^package:[ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)


class StatusFile:
    """The content of a status file; later additions (dpkg's ``updates`` journal) override by package."""

    def __init__(self, data: bytes, updates: Iterable[bytes] = ()) -> None:
        self._parts = [data, *updates]
        self._places: list[dict[bytes, list[int]]] | None = None

    def stanzas(self, packages: frozenset[str] | None = None) -> dict[tuple[str, str], Stanza]:
        """Return the stanzas by (package, architecture), all or those of the named ``packages``.

        Raises DpkgDatabaseError when something between two empty lines is no stanza.
        """
        found: dict[tuple[str, str], Stanza] = {}
        for text in self._all() if packages is None else self._named(packages):
            stanza = read_stanza(text)
            found[stanza.package, stanza.architecture] = stanza
        return found

    def may_have_selected(self, selection: str) -> bool:
        """Whether any line looks like the Status of a package with this ``selection``."""
        line = re.compile(rb"status:[ \t]*%s[ \t]" % selection.encode())
        return any(line.search(data.lower()) for data in self._parts)  # much faster than without case

    def _all(self) -> Iterator[bytes]:
        for data in self._parts:
            for text in re.split(rb"\n[ \t]*\n", data):
                if text.strip():
                    yield text

    def _named(self, packages: frozenset[str]) -> Iterator[bytes]:
        if self._places is None:
            self._places = [_places(data) for data in self._parts]
        for data, places in zip(self._parts, self._places, strict=True):
            for name in packages:
                for place in places.get(name.encode("utf-8", "surrogateescape"), ()):
                    # Bounded by empty lines; rfind from here is short, as Package stands at the top.
                    start = data.rfind(b"\n\n", 0, place) + 1
                    end = data.find(b"\n\n", place)
                    yield data[start : end if end != -1 else len(data)]


def _places(data: bytes) -> dict[bytes, list[int]]:
    """Return where each package is named in ``data``, in order."""
    found: dict[bytes, list[int]] = {}
    for match in _NAME.finditer(data):
        found.setdefault(match.group(1), []).append(match.end())
    return found


def read_stanza(text: bytes) -> Stanza:
    """Return one stanza; raises DpkgDatabaseError when a line is no field or Package is missing."""
    fields: dict[bytes, bytes] = {}
    name = b""
    for line in text.strip(b"\n").split(b"\n"):
        if line[:1] in (b" ", b"\t") and name:
            fields[name] += b"\n" + line[1:]
            continue
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if not colon or not name:
            raise DpkgDatabaseError(
                f"dpkg's status file has the line '{shown(line)[:80]}' where a field should be; "
                "compare it with /var/lib/dpkg/status-old and /var/backups/dpkg.status.*."
            )
        fields[name] = value.strip()
    if not fields.get(b"package"):
        raise DpkgDatabaseError(
            f"dpkg's status file has a stanza without a package name, beginning '{shown(text)[:60]}'."
        )
    return Stanza(fields)
