# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of this machine: mounts, dpkg's database, accounts."""
