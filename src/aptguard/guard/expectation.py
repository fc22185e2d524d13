# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real run of an approved transaction should do, as its rehearsal showed.

Made before the verdict is given, and therefore short: what is kept is bounded, and of the disk only a few
directories are listed. What was expected is compared with what has become of it in guard.comparison.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.rehearsal.mount_plan import needs_a_server
from aptguard.rehearsal.mountinfo import is_below, read_mountinfo
from aptguard.report.model import ChangedPath, Report
from aptguard.transaction.model import Action, Item

MOST_GOING = 10_000  # paths; of more, as many that lie evenly among them
MOST_STAYING = 4_000
MOST_DIRECTORIES = 100  # that are listed
MOST_NAMES = 500  # in one of them

DPKG_LOG = b"/var/log/dpkg.log"
INSTALLED = ("installed", "triggers-awaited", "triggers-pending")
# What lives here comes and goes at any time, with or without a package manager.
_VOLATILE = (
    b"/run/",
    b"/tmp/",
    b"/var/tmp/",
    b"/dev/",
    b"/proc/",
    b"/sys/",
    b"/var/cache/",
    b"/var/log/",
    b"/var/lib/dpkg/",
    b"/var/lib/apt/",
    b"/var/lib/systemd/",
    b"/var/lib/aptguard/",
)


@dataclass(frozen=True, slots=True)
class ExpectedPackage:
    """One package: dpkg's ``status`` and ``version`` before, and what they may be afterwards.

    ``version_after`` is None where it does not matter. ``open`` is set where it was not known whether the
    package would be purged: then ``after`` has both.
    """

    package: str
    architecture: str
    status: str
    version: str
    after: tuple[str, ...]
    version_after: str | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class Going:
    """A path that was deleted in the rehearsal, for ``package`` where that is known."""

    path: bytes
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """All that the comparison needs.

    ``number`` is the report's in the ledger. ``began`` is the time of the verdict, in seconds since the
    epoch. ``names`` are the packages of the transaction. ``log_size`` is the size of dpkg's log, None without
    one. ``going`` are paths that should be gone; ``staying`` are those that should not. ``omitted`` counts
    what is left out. ``unclear`` says why the rehearsal is no measure, and is empty where it is one.
    ``overrides_of`` is the run for which overrides were applied, as ``PID-STARTTIME``; ``of_dpkg``: dpkg's
    own hook asked, after which nothing stands between the verdict and the work.
    """

    id: str
    number: int | None
    began: float
    names: tuple[str, ...]
    log_size: int | None = None
    packages: tuple[ExpectedPackage, ...] = ()
    going: tuple[Going, ...] = ()
    staying: tuple[bytes, ...] = ()
    omitted: int = 0
    unclear: str = ""
    overrides_of: str = ""
    of_dpkg: bool = False


def expect(
    report: Report,
    number: int | None,
    database: DpkgDatabase,
    *,
    protected: Iterable[bytes] = (),
    unpack_only: bool = False,
    settle: Sequence[str] = (),
) -> Expectation:
    """Return what the run should do; ``number`` is the report's in the ledger.

    ``protected`` are directories whose own directories should stay as they are, such as /srv and /home.
    ``unpack_only`` is set for ``dpkg --unpack``. ``settle`` are packages that may still be purged, after a
    judgement of its own. Raises DpkgDatabaseError.
    """
    names = tuple(sorted(report.transaction.packages))
    unclear = _unclear(report)
    if unclear:
        return Expectation(report.id, number, report.time, names, unclear=unclear)
    deleted = {change.path for change in report.changed_paths if "deleted" in change.kinds}
    going = [
        Going(change.path, change.package)
        for change in report.changed_paths
        if "deleted" in change.kinds and change.type != "directory" and not _is_volatile(change.path)
    ]
    staying, left_out = _staying(report, database, deleted, protected)
    kept = evenly(going, MOST_GOING)
    return Expectation(
        report.id,
        number,
        report.time,
        names,
        log_size=_size(DPKG_LOG),
        packages=_packages(report, database, deleted, unpack_only, frozenset(settle)),
        going=tuple(kept),
        staying=tuple(staying),
        omitted=len(going) - len(kept) + left_out,
    )


def evenly(paths: Sequence[Going], most: int) -> Sequence[Going]:
    """Return at most ``most`` of ``paths``, from all over them."""
    return paths if len(paths) <= most else [paths[i * len(paths) // most] for i in range(most)]


def _unclear(report: Report) -> str:
    """Return why nothing can be expected of the run, empty where something can."""
    if not report.complete:
        return "the rehearsal was cut off before its end"
    failed = next((unknown for unknown in report.unknowns if unknown.path is None), None)
    return "" if failed is None else f"the rehearsal does not show all of it: {failed.what}: {failed.reason}"


def _packages(
    report: Report,
    database: DpkgDatabase,
    deleted: frozenset[bytes] | set[bytes],
    unpack_only: bool,
    settle: frozenset[str],
) -> tuple[ExpectedPackage, ...]:
    last: dict[str, Item] = {}
    for item in report.transaction.items:
        if item.action is not Action.CONFIGURE or item.qualified not in last:
            last[item.qualified] = item
    database.stanzas(item.package for item in last.values())
    found = []
    for item in last.values():
        stanza = database.stanza(item.package, item.architecture)
        is_open = item.purge_assumed or item.qualified in settle
        after: tuple[str, ...]
        if item.action.takes_away:
            # Without conffiles and a postrm nothing is left to be purged (dpkg, src/main/remove.c).
            file_list = (
                b"/var/lib/dpkg/info/" + database.list_name(item.package, item.architecture) + b".list"
            )
            gone = item.action is Action.PURGE or file_list in deleted
            after = ("config-files", "not-installed") if is_open else (_removed_state(gone),)
        else:
            after = ("unpacked",) if unpack_only and item.action.unpacks else INSTALLED
        found.append(
            ExpectedPackage(
                item.package,
                item.architecture,
                stanza.status if stanza else "not-installed",
                stanza.version if stanza else "",
                after,
                item.new_version if item.action.unpacks else None,
                is_open,
            )
        )
    return tuple(found)


def _removed_state(gone: bool) -> str:
    return "not-installed" if gone else "config-files"


def _staying(
    report: Report, database: DpkgDatabase, deleted: set[bytes], protected: Iterable[bytes]
) -> tuple[list[bytes], int]:
    """Return the paths that are there now and should be afterwards, and how many were left out."""
    servers = _points_of_servers()

    def may_wait(path: bytes) -> bool:
        return any(is_below(path, point) for point in servers)

    found: dict[bytes, None] = {}
    for change in report.changed_paths:
        if not {"deleted", "created"} & set(change.kinds) and not _is_volatile(change.path):
            found[change.path] = None
    for item in report.transaction.takes_away:
        if item.action is Action.REMOVE:
            for conffile in database.conffiles(item.package, item.architecture):
                found[database.canonical.path(conffile)] = None
    for directory in _neighbourhoods(report.changed_paths, deleted):
        if may_wait(directory):
            continue
        found.update(dict.fromkeys(_entries(directory, directories_only=False)))
    for directory in protected:
        if may_wait(directory):
            continue
        found[directory] = None
        found.update(dict.fromkeys(_entries(directory, directories_only=True)))
    staying = [path for path in found if path not in deleted and not may_wait(path) and os.path.lexists(path)]
    return staying[:MOST_STAYING], max(0, len(staying) - MOST_STAYING)


def _points_of_servers() -> list[bytes]:
    """Return where file systems are mounted that need a server: who looks there may wait for ever.

    Without the root directory: without its server nothing works anyway.
    """
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = read_mountinfo(file.read())
    except (OSError, ValueError):
        return []
    return [mount.point for mount in mounts if mount.point != b"/" and needs_a_server(mount)]


def _neighbourhoods(changes: Iterable[ChangedPath], deleted: set[bytes]) -> list[bytes]:
    """Return the directories that stay and from which a script, or whoever has no right to, takes away."""
    found: dict[bytes, None] = {}
    for change in changes:
        if "deleted" not in change.kinds or (change.script is None and change.owner_class == "transaction"):
            continue
        above = change.path
        while True:
            above = above.rpartition(b"/")[0] or b"/"
            if above not in deleted or above == b"/":
                break
        if not _is_volatile(above + b"/"):
            found[above] = None
    return list(found)[:MOST_DIRECTORIES]


def _entries(directory: bytes, *, directories_only: bool) -> list[bytes]:
    found = []
    try:
        with os.scandir(directory) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_NAMES:
                    break
                if not directories_only or entry.is_dir(follow_symlinks=False):
                    found.append(entry.path)
    except OSError:
        return []
    return found


def _is_volatile(path: bytes) -> bool:
    return path.startswith(_VOLATILE)


def _size(path: bytes) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
