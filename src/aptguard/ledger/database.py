# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's file: opened safely, shared by several processes, moved aside when it is corrupt.

Daemon, embedded hook and command line may have it open at once. SQLite's own locks order their writes;
``ledger.lock`` orders creation, migration and moving aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from aptguard.ledger.error import LedgerError
from aptguard.ledger.schema import migrate, refuse_newer
from aptguard.shown import shown

T = TypeVar("T")

_BUSY_SECONDS = 10.0
_SUFFIXES = ("", "-wal", "-shm", "-journal")  # https://www.sqlite.org/tempfiles.html
# https://www.sqlite.org/rescode.html: the primary code is the low byte.
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One connection to ``DIRECTORY/ledger.db``; every error leaves it as a LedgerError.

    ``problems`` gathers what went wrong and was mended (a corrupt file that was moved aside), as sentences.
    Threads of one process may share it: one operation runs at a time.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "ledger.db")
        self.problems: list[str] = []
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def read(self, operation: Callable[[sqlite3.Connection], T], what: str) -> T:
        """Return what ``operation`` gives; ``what`` names it in an error (``read the overrides``)."""
        return self._run(operation, what, write=False)

    def write(self, operation: Callable[[sqlite3.Connection], T], what: str) -> T:
        """Run ``operation`` in one transaction that is on disk when this returns, or has not happened."""
        return self._run(operation, what, write=True)

    def note(self, problem: str) -> None:
        """Remember a problem that was got over, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def shrink(self) -> None:
        """Give the pages that deleted rows have left back to the file system; best effort."""
        with self._mutex, contextlib.suppress(sqlite3.Error, OSError):
            connection = self._connected()
            # One step frees one page and gives no row, so that execute() and fetchall() would stop after it.
            connection.executescript("PRAGMA incremental_vacuum")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; it is opened again by the next operation."""
        with self._mutex:
            connection, self._connection, self._inode = self._connection, None, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _run(self, operation: Callable[[sqlite3.Connection], T], what: str, *, write: bool) -> T:
        with self._mutex:
            try:
                try:
                    return self._attempt(operation, write=write)
                except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                    if not _is_corrupt(error):
                        raise
                    self._move_aside(error)
                    return self._attempt(operation, write=write)
            except sqlite3.Error as error:
                self.close()  # a connection in doubt is not worth keeping
                raise LedgerError(
                    f"Could not {what} in the ledger {self.path}: {shown(str(error))}. {_hint(error)}"
                ) from error
            except OSError as error:
                self.close()
                raise LedgerError(f"Could not {what} in the ledger {self.path}: {error}.") from error
            except (ValueError, TypeError, OverflowError) as error:
                # SQLite does not see all that a damaged or edited file can have in a row.
                raise LedgerError(
                    f"Could not {what} in the ledger {self.path}: it has a value that makes no sense"
                    f" ({shown(str(error))}). It was damaged or edited; move it away."
                ) from error

    def _attempt(self, operation: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
        connection = self._connected()
        if not write:
            return operation(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = operation(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._inode == _inode(self.path):
            return self._connection
        self.close()  # none yet, or another process has moved the file aside
        _check_directory(self.directory)
        with self._locked():
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except FileExistsError:
            # Not opened to be looked at: closing any descriptor of the file would drop this process's
            # record locks on it, which SQLite relies on (fcntl(2)).
            _check_owned(self.path, stat.S_ISREG, "file")
        else:
            os.close(descriptor)
            _sync_directory(self.directory)
        self._inode = _inode(self.path)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # A row that somebody has edited must not hide the others.
        connection.text_factory = _text
        try:
            refuse_newer(connection, self.path)
            _set_journal(connection)
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(
            os.path.join(self.directory, "ledger.lock"),
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        try:
            give_up = time.monotonic() + _BUSY_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:  # its holder is stopped: never hang with it
                        raise
                    time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    def _move_aside(self, error: sqlite3.DatabaseError | UnicodeDecodeError) -> None:
        seen = self._inode
        self.close()
        with self._locked():
            if seen is not None and _inode(self.path) != seen:
                return  # another process has already done it
            number = 1
            while os.path.lexists(aside := os.path.join(self.directory, f"ledger.corrupt-{number}")):
                number += 1
            for suffix in _SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.path + suffix, aside + suffix)
            _sync_directory(self.directory)
        self.note(
            f"The ledger {self.path} was corrupt ({shown(str(error))}). It was moved to {aside} and a new one"
            " was started: earlier records, overrides and a pause are not in force any more."
        )


def _set_journal(connection: sqlite3.Connection) -> None:
    """Take WAL where the file system can share memory, else the rollback journal; both on disk at COMMIT.

    https://www.sqlite.org/wal.html (section 8), https://www.sqlite.org/pragma.html#pragma_synchronous:
    EXTRA is FULL, and for the rollback journal also syncs the directory, so that a power cut cannot
    bring a finished journal back and undo an answered verdict.
    """
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        if _primary_code(error) not in (
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_PROTOCOL,
            sqlite3.SQLITE_CANTOPEN,
        ):
            raise
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    connection.execute("PRAGMA synchronous = EXTRA")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_corrupt(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    # Python could not even decode what SQLite says of the file's broken schema.
    return isinstance(error, UnicodeDecodeError) or _primary_code(error) in _CORRUPT


def _hint(error: sqlite3.Error) -> str:
    match _primary_code(error):
        case sqlite3.SQLITE_FULL:
            return "Make room on its file system."
        case sqlite3.SQLITE_READONLY:
            return "Mount its file system writable."
        case sqlite3.SQLITE_BUSY:
            return "Another aptguard process has held it for too long; try again."
        case _:
            return "Look at the file system that it is on."


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)


def _check_directory(directory: str) -> None:
    try:
        os.makedirs(directory, 0o700)
    except FileExistsError:
        _check_owned(directory, stat.S_ISDIR, "directory")
    else:
        _sync_directory(os.path.dirname(directory))


def _check_owned(path: str, is_kind: Callable[[int], bool], kind: str) -> None:
    """Refuse what somebody else may have written (a planted override); close what others may read."""
    status = os.lstat(path)
    if not is_kind(status.st_mode):
        raise LedgerError(f"The ledger needs {path} to be a {kind}, and it is something else. Move it away.")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise LedgerError(
            f"The ledger's {kind} {path} can be written by others (owner {status.st_uid}, mode"
            f" {stat.S_IMODE(status.st_mode):04o}), so it is not trusted. Find out why, then move it away."
        )
    if status.st_mode & 0o077:
        os.chmod(path, stat.S_IMODE(status.st_mode) & 0o700)


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
