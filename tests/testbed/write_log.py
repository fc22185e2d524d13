# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk holds after a power cut at any moment of its past, by qemu's log of all that was written.

The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), as
qemu's driver ``blklogwrites`` writes it. What was written before the last flush is on the disk for sure; of
what came after it, a disk with a cache of its own may have kept any part.
"""

from __future__ import annotations

import os
import random
import struct
from dataclasses import dataclass

_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: where it stands on the disk, and where its data and its end are in the log, in bytes."""

    position: int
    length: int
    flags: int
    data: int
    end: int

    @property
    def flush(self) -> bool:
        """Whether all before it is on the disk when it is done."""
        return bool(self.flags & _FLUSH)

    @property
    def discards(self) -> bool:
        """Whether it has no data: the place reads as zeros afterwards, as it does on a loop device."""
        return bool(self.flags & _DISCARD)


def read_entries(log: str) -> list[Entry]:
    """Return the requests in the order of the log, up to the first that is not whole.

    :raises ValueError: it is no such log.
    """
    found = []
    size = os.path.getsize(log)
    with open(log, "rb") as file:
        magic, version, _, sector = _SUPER.unpack(file.read(_SUPER.size))
        if magic != _MAGIC or version != 1 or sector < 512:
            raise ValueError(f"{log} is no log of writes")
        position = sector
        while position + sector <= size:
            file.seek(position)
            at, count, flags, data_length = _ENTRY.unpack(file.read(_ENTRY.size))
            if not (at or count or flags or data_length):
                break  # room that was reserved and never filled
            length = 0 if flags & _MARK else count * sector
            data = position + sector
            in_log = data_length if flags & _MARK else 0 if flags & _DISCARD else length
            position = data + in_log
            if position > size:
                break
            found.append(Entry(at * sector, length, flags, data, position))
    return found


class Replay:
    """The disk of the log, at one moment after the other; each not before the last."""

    def __init__(self, log: str, size: int, directory: str) -> None:
        self._log = log
        self._size = size
        self._durable = os.path.join(directory, "durable")
        self._directory = directory
        self._image = ""
        self._entries = read_entries(log)
        self._done = 0
        with open(self._durable, "wb") as file:
            file.truncate(size)

    @property
    def end(self) -> int:
        """Where the log ends, in bytes."""
        return self._entries[-1].end

    def image(self, cut: int, chance: random.Random) -> str:
        """Return the file of a disk whose power was cut when the log had ``cut`` bytes.

        Of what had been written since the last flush some requests are left out and one may be torn.
        """
        until = self._done
        while until < len(self._entries) and self._entries[until].end <= cut:
            until += 1
        flushed = max(
            (number + 1 for number in range(self._done, until) if self._entries[number].flush),
            default=self._done,
        )
        with open(self._log, "rb") as log:
            with open(self._durable, "r+b") as disk:
                for entry in self._entries[self._done : flushed]:
                    _apply(log, disk, entry, entry.length)
            self._done = flushed
            # Another file each time: a loop device that is still there has the last one in its cache.
            if self._image:
                os.unlink(self._image)
            self._image = os.path.join(self._directory, f"image-{cut}-{until}-{chance.getrandbits(32):x}")
            _copy_sparse(self._durable, self._image)
            kept = chance.choice((0.0, 0.5, 0.9, 1.0))
            with open(self._image, "r+b") as disk:
                for entry in self._entries[flushed:until]:
                    if entry.flags & _FUA or chance.random() < kept:
                        _apply(log, disk, entry, entry.length)
                if until < len(self._entries) and chance.random() < kept:
                    torn = self._entries[until]
                    _apply(log, disk, torn, torn.length // 512 // 2 * 512)
        return self._image


def _apply(log, disk, entry: Entry, length: int) -> None:  # type: ignore[no-untyped-def]
    if length:
        log.seek(entry.data)
        disk.seek(entry.position)
        disk.write(bytes(length) if entry.discards else log.read(length))


def _copy_sparse(source: str, target: str) -> None:
    """Copy a file and leave its holes: most of a disk is empty."""
    with open(source, "rb") as old, open(target, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        position = 0
        while position < size:
            try:
                start = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            offset = start
            while offset < position:
                block = os.pread(old.fileno(), min(1 << 20, position - offset), offset)
                os.pwrite(new.fileno(), block, offset)
                offset += len(block)
