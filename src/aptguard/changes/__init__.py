# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal did: upper directories, read into a list of changes."""
