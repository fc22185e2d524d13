# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying a transaction: the real dpkg and the real scripts on an overlay of the real machine."""
