# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that are asked on a booted guest, by programs inside of it; standard library and aptguard."""
