# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people look: journal, login banner, metrics."""
