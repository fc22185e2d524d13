# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor: receive, rehearse, judge, record, alert, answer."""
