# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample runs on the same Debians and with the same package as the tests of the whole system."""

from __future__ import annotations

from system.conftest import aptguard_deb, version

__all__ = ["aptguard_deb", "version"]
