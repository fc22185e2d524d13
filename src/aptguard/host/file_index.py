# SPDX-License-Identifier: GPL-3.0-or-later
"""An index of dpkg's file lists, so that asking for the owner of ten paths does not read every list.

A cache and nothing more: it is refreshed from the lists that changed, thrown away when damaged, and the
caller searches the lists themselves (file_lists.search_lists) when it cannot be had.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator

from aptguard.host.canonical import Canonicaliser
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.file_lists import ListFile, Listings, list_files, read_list

_VERSION = 1
_SETTLED_NS = 2_000_000_000  # a directory changed more recently may change again within its clock's tick
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: no such table
_SCHEMA = """
CREATE TABLE list (id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB UNIQUE NOT NULL, size INTEGER NOT NULL,
                   mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, odd_lines INTEGER NOT NULL);
CREATE TABLE path (path BLOB NOT NULL, list INTEGER NOT NULL, PRIMARY KEY (path, list)) WITHOUT ROWID;
CREATE TABLE alias (real BLOB NOT NULL, listed BLOB NOT NULL, PRIMARY KEY (real, listed)) WITHOUT ROWID;
CREATE TABLE state (directory BLOB NOT NULL);
"""

_LISTS_NAMING = "SELECT list.name FROM path JOIN list ON list.id = path.list WHERE path.path = ?"
_STATE = "SELECT 1 FROM state WHERE directory = ?"
# Size -1 fits no file, so the next refresh looks again.
_ADD_MISSING = "INSERT OR REPLACE INTO list (name, size, mtime_ns, inode, odd_lines) VALUES (?, -1, 0, 0, 1)"


class FileIndex:
    """The index in the file ``location`` of the lists in ``directory``. One object serves one judgement.

    ``expected`` says which lists there should be; one that is missing, or that cannot be read, is kept as a
    list of odd lines.

    Rows of a list that was replaced stay behind under an id that no longer exists; the joins pass them
    over, and a rebuild drops them once they are many.
    """

    def __init__(
        self,
        location: bytes,
        directory: bytes,
        canonical: Canonicaliser,
        expected: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        self._expected = expected
        self._location = location
        self._directory = directory
        self._canonical = canonical
        self._connection: sqlite3.Connection | None = None

    def find(
        self, wanted: Iterable[bytes]
    ) -> tuple[dict[bytes, list[tuple[bytes, bytes]]], frozenset[bytes]]:
        """Return the same as search_lists for the canonical paths ``wanted``.

        Raises sqlite3.Error or OSError when the index cannot be used, not even rebuilt; DpkgDatabaseError
        when the lists cannot be read.
        """
        try:
            return self._find(wanted)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise  # locked, read-only, no such directory, no space: a rebuild would not help
            self._discard()
            return self._find(wanted)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; a later find opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _find(
        self, wanted: Iterable[bytes]
    ) -> tuple[dict[bytes, list[tuple[bytes, bytes]]], frozenset[bytes]]:
        connection = self._open()
        self._refresh(connection)
        links = self._links_of_the_root()
        found: Listings = {}
        for path in wanted:
            for listed in self._ways_to_write(connection, path, links):
                rows = connection.execute(
                    "SELECT list.name FROM path JOIN list ON list.id = path.list WHERE path.path = ?",
                    (listed,),
                )
                for (name,) in rows:
                    found.setdefault(path, []).append((bytes(name), listed))
        odd = frozenset(
            bytes(name) for (name,) in connection.execute("SELECT name FROM list WHERE odd_lines > 0")
        )
        return found, odd

    def _ways_to_write(
        self, connection: sqlite3.Connection, path: bytes, links: list[tuple[bytes, bytes]]
    ) -> set[bytes]:
        parent, _, name = path.rpartition(b"/")
        ways = {path}
        for (listed,) in connection.execute("SELECT listed FROM alias WHERE real = ?", (parent or b"/",)):
            ways.add(bytes(listed).rstrip(b"/") + b"/" + name)
        for link, target in links:
            if path.startswith(target + b"/"):
                ways.add(link + path[len(target) :])
        # An alias is as old as the list it came from: only what leads to the path today counts.
        return {way for way in ways if self._canonical.path(way) == path}

    def _links_of_the_root(self) -> list[tuple[bytes, bytes]]:
        """Return (link, directory) for the links in /, /usr and /var, the usual ones that are made later."""
        found = []
        for place in (b"", b"/usr", b"/var"):
            with contextlib.suppress(OSError), os.scandir(self._canonical.root + (place or b"/")) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        link = place + b"/" + entry.name
                        found.append((link, self._canonical.directory(link)))
        return found

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(os.fsdecode(self._location), timeout=5.0, isolation_level=None)
            self._connection = connection
            connection.text_factory = bytes
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                self._discard()
                return self._open()
            if version == 0:
                os.chmod(self._location, 0o600)
                connection.execute("PRAGMA journal_mode = WAL")
                with _writing(connection):
                    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'list'").fetchone():
                        for statement in _SCHEMA.split(";"):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {_VERSION}")
        return self._connection

    def _discard(self) -> None:
        self.close()
        for suffix in (b"", b"-wal", b"-shm", b"-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._location + suffix)

    def _refresh(self, connection: sqlite3.Connection) -> None:
        # dpkg replaces a list by rename, which changes its directory; so an unchanged directory settles it.
        key = self._directory_key()
        if key is not None and connection.execute(_STATE, (key,)).fetchone():
            return
        with _writing(connection):
            known = {
                bytes(name): (identity, ListFile(bytes(name), size, mtime_ns, inode))
                for identity, name, size, mtime_ns, inode in connection.execute(
                    "SELECT id, name, size, mtime_ns, inode FROM list"
                )
            }
            present = {file.name: file for file in list_files(self._directory)}
            gone = [identity for name, (identity, file) in known.items() if present.get(name) != file]
            connection.executemany("DELETE FROM list WHERE id = ?", ((identity,) for identity in gone))
            if len(gone) * 4 > len(known):
                connection.execute("DELETE FROM path WHERE list NOT IN (SELECT id FROM list)")
            unread = [
                name
                for name, file in present.items()
                if (name not in known or known[name][1] != file) and not self._add(connection, file)
            ]
            missing = [name for name in self._expected() if name not in present]
            connection.executemany(_ADD_MISSING, ((name,) for name in (*missing, *unread)))
            connection.execute("DELETE FROM state")
            if key is not None and not unread:
                connection.execute("INSERT INTO state VALUES (?)", (key,))

    def _add(self, connection: sqlite3.Connection, file: ListFile) -> bool:
        """Take in one list; return False when it cannot be read."""
        try:
            content = read_list(self._directory, file.name)
        except DpkgDatabaseError:
            return False
        identity = connection.execute(
            "INSERT INTO list (name, size, mtime_ns, inode, odd_lines) VALUES (?, ?, ?, ?, ?)",
            (file.name, file.size, file.mtime_ns, file.inode, content.odd_lines),
        ).lastrowid
        connection.executemany(
            "INSERT OR IGNORE INTO path VALUES (?, ?)", ((path, identity) for path in content.paths)
        )
        listed = {path.rpartition(b"/")[0] or b"/" for path in content.paths}
        aliases = ((self._canonical.directory(one), one) for one in listed)
        connection.executemany(
            "INSERT OR IGNORE INTO alias VALUES (?, ?)", (pair for pair in aliases if pair[0] != pair[1])
        )
        return True

    def _directory_key(self) -> bytes | None:
        try:
            status = os.stat(self._directory)
        except OSError:
            return None  # list_files will say what is wrong
        if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
            return None
        return b"%d %d %d %d" % (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


@contextlib.contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
