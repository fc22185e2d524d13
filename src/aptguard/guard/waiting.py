# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for an answer: what is told to them meanwhile, and whether they are still there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """``progress`` is called with what is being tried; ``cancelled`` says that nobody waits any more.

    Both are None where there is nobody to be told, or nobody who could go.
    """

    progress: Callable[[str], None] | None = None
    cancelled: Callable[[], bool] | None = None
