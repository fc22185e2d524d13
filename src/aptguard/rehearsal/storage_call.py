# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of a storage tool, and what its reading can say; pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Meaning(Enum):
    """What comes of a call."""

    ASKS = "asks"
    ACTS = "acts"  # on the machine, but nothing is lost by it
    UNCLEAR = "unclear"  # something is taken away or altered, and what follows from it is not seen
    DESTROYS = "destroys"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a call means, and of what: absolute paths, or names as the tool has them."""

    meaning: Meaning
    targets: tuple[bytes, ...] = ()


class Places:
    """What can be said of the absolute paths in a call; this one takes them by their names."""

    def real(self, path: bytes) -> bytes:
        """Return where ``path`` leads to, if it is a symbolic link."""
        return path

    def is_file(self, _path: bytes) -> bool:
        """Whether a regular file stands there, which a tool may write to as it likes."""
        return True

    def may_be_subvolume(self, _path: bytes) -> bool:
        """Whether a btrfs subvolume may stand there on the machine."""
        return True

    def may_be_mounted(self, _path: bytes) -> bool:
        """Whether something may be mounted there, or from there, on the machine."""
        return True

    def has_file_system(self, _kind: bytes, _path: bytes) -> bool:
        """Whether such a file system is certainly mounted there on the machine."""
        return False

    def may_have_swap(self) -> bool:
        """Whether the machine may have swap that is in use."""
        return True


ASKS: Final = Reading(Meaning.ASKS)
ACTS: Final = Reading(Meaning.ACTS)
UNCLEAR: Final = Reading(Meaning.UNCLEAR)
# Below /dev, but nothing that keeps anything.
_NO_STORAGE: Final = tuple(
    b"/dev/" + name
    for name in b"null zero full random urandom console kmsg std fd/ tty pts/ ptmx shm/ log mqueue/".split()
)


class Call:
    """A call with its arguments sorted out."""

    def __init__(self, name: bytes, arguments: Sequence[bytes], directory: bytes, places: Places) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.words = [word for word in arguments if not word.startswith(b"-")]
        self.places = places
        self._directory = directory

    def without_first_word(self) -> Call:
        """Return the call whose name is the first word of this one."""
        place = self.arguments.index(self.words[0])
        rest = (*self.arguments[:place], *self.arguments[place + 1 :])
        return Call(self.words[0], rest, self._directory, self.places)

    def has(self, *options: bytes) -> bool:
        """Whether one of the options is given, by itself or as ``--long=VALUE``."""
        return any(
            word == option or (option.startswith(b"--") and word.startswith(option + b"="))
            for word in self.arguments
            for option in options
        )

    def may_have(self, *options: bytes) -> bool:
        """Whether one of the options is given, also as a letter among others, or of an attached value."""
        return self.has(*options) or any(
            len(option) == 2 and word[:1] == b"-" and word[:2] != b"--" and option[1:] in word[1:]
            for word in self.arguments
            for option in options
        )

    def path(self, word: bytes) -> bytes:
        """Return the absolute path that the word means."""
        return os.path.normpath(os.path.join(b"/", self._directory, word)).replace(b"//", b"/")

    def devices(self, words: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return those of the words that are devices."""
        paths = (self.places.real(self.path(word)) for word in words if word)
        return tuple(path for path in paths if path.startswith(b"/dev/") and not path.startswith(_NO_STORAGE))

    def destroys(self, targets: Sequence[bytes]) -> Reading:
        """Return that it destroys the targets; what is empty here may not be so on the machine."""
        named = tuple(target for target in targets if target)
        return Reading(Meaning.DESTROYS, named) if named and b"" not in self.words else UNCLEAR

    def overwrites(self, words: Sequence[bytes]) -> Reading:
        """Return that it destroys what is on those of the words that are devices."""
        return self._on_devices(words, Meaning.DESTROYS)

    def alters(self, words: Sequence[bytes]) -> Reading:
        """Return that it changes something on those of the words that are devices."""
        return self._on_devices(words, Meaning.UNCLEAR)

    def _on_devices(self, words: Sequence[bytes], meaning: Meaning) -> Reading:
        devices = self.devices(words)
        if devices:
            return Reading(meaning, devices)
        # A file is seen in the overlay, and may be gone by now. Where none is named, what is missing may be
        # the device that the script did not find here.
        named = any(
            word.startswith(b"/") or (word and self.places.is_file(self.path(word))) for word in words
        )
        return ASKS if named else UNCLEAR
