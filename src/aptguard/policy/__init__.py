# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not happen: policy files into rules; changes and facts into findings and a verdict."""
