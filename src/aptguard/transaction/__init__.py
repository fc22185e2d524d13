# SPDX-License-Identifier: GPL-3.0-or-later
"""What is about to happen: apt's hook protocol and dpkg's command line, read into a Transaction."""
