# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzing of all that reads what others wrote: the targets, what drives them, and the kept inputs."""
