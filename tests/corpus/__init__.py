# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packages of Debian's archive, installed and purged under guard: does it speak without need?"""
