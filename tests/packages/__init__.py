# SPDX-License-Identifier: GPL-3.0-or-later
"""Toy packages for the tests, made by the real dpkg-deb."""
