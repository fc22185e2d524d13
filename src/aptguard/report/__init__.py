# SPDX-License-Identifier: GPL-3.0-or-later
"""The one result object of a judged transaction, and its renderings."""
