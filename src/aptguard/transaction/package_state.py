# SPDX-License-Identifier: GPL-3.0-or-later
"""What dpkg's database says of one package; standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageState:
    """The first and third word of a package's Status field, in dpkg's spelling (dpkg(1)).

    ``selection`` is what the administrator wants (``install``, ``hold``, ``deinstall``, ``purge``,
    ``unknown``), ``status`` is where the package stands (``installed``, ``config-files``,
    ``half-installed``, ``unpacked``, ``half-configured``, ``triggers-awaited``, ``triggers-pending``,
    ``not-installed``).
    """

    selection: str
    status: str
