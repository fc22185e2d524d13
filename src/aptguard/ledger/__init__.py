# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened, on disk: transactions, verdicts, overrides."""
