# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket, its peers and the life cycle of the root daemon."""
