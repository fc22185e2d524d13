# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away Debian systems for the tests: trees made once, guests booted from them, witnesses of change."""
