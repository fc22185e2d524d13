# SPDX-License-Identifier: GPL-3.0-or-later
"""The escape tests attack from a rehearsal on the same throw-away machine."""

from __future__ import annotations

from rehearsal.conftest import debian_tree, machine

__all__ = ["debian_tree", "machine"]
