# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call of a storage tool would do on the machine; pure.

In a rehearsal no such call can succeed: there is no disk, an overlay has neither subvolumes nor volumes, and
nothing can be mounted or unmounted. A script that hides the failure looks harmless, so that the call itself
has to be judged. The readings follow the manual pages of Debian 12 and 13; what is not known to ask only
counts as an act.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aptguard.rehearsal import device_calls, mount_calls, volume_calls
from aptguard.rehearsal.storage_call import ASKS, Call, Places, Reading

_READERS: Final = {**device_calls.READERS, **volume_calls.READERS, **mount_calls.READERS}
_HELP: Final = frozenset({b"--help", b"-h", b"-?", b"--version", b"-V", b"help", b"version"})
STORAGE_PROGRAMS: Final = (*device_calls.READERS, *volume_calls.READERS)
MOUNT_PROGRAMS: Final = tuple(mount_calls.READERS)


def read_call(
    name: bytes, arguments: Sequence[bytes], directory: bytes = b"/", places: Places | None = None
) -> Reading | None:
    """Return what the call means; None for a program that is not read here.

    ``directory`` is the one in which it was called; ``places`` know more of paths than their names.
    """
    reader = _READERS.get(name)
    if reader is None:
        return None
    if len(arguments) == 1 and arguments[0] in _HELP:
        return ASKS
    return reader(Call(name, arguments, directory, places or Places()))
