# SPDX-License-Identifier: GPL-3.0-or-later
"""The throw-away machine of the rehearsal tests, for those that run in a virtual machine only."""

from __future__ import annotations

from rehearsal.conftest import debian_tree, machine

__all__ = ["debian_tree", "machine"]
