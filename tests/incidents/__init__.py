# SPDX-License-Identifier: GPL-3.0-or-later
"""Accidents that have happened, and harmless packages that look like them, each as a real transaction."""
