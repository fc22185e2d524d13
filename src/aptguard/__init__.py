# SPDX-License-Identifier: GPL-3.0-or-later
"""aptguard: rehearses each apt and dpkg transaction and blocks the ones that would do harm."""

__version__ = "0.1.0"
