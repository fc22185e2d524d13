# SPDX-License-Identifier: GPL-3.0-or-later
"""All routes, by the way in which it is seen whether they lead out."""

from __future__ import annotations

from escape import further_routes, module_routes, routes

WITNESSED = (*routes.WITNESSED, *further_routes.WITNESSED, *module_routes.WITNESSED)
ANSWERED = (*routes.ANSWERED, *further_routes.ANSWERED, *module_routes.ANSWERED)
IN_THE_OVERLAY = further_routes.IN_THE_OVERLAY
