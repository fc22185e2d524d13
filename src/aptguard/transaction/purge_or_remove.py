# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a removal that apt announces will be a purge; standard library only.

Protocol 3 writes ``**REMOVE**`` for both. apt and apt-get purge all removals of a run or none
(``APT::Get::Purge``), except under dselect-upgrade, where dpkg's selections decide; aptitude writes its
wishes into the selections before the hooks run; PackageKit and unattended-upgrade never purge; programs on
python-apt leave no trace. What is not known counts as a purge, which does all that a removal does.
"""

from __future__ import annotations

from aptguard.transaction.model import Action
from aptguard.transaction.package_state import PackageState


def purge_or_remove(
    *, frontend: str, purge_configured: bool, dselect_upgrade: bool, state: PackageState | None
) -> tuple[Action, bool]:
    """Return PURGE or REMOVE, and whether PURGE is only an assumption.

    ``state`` is dpkg's of the package, None where it is not known; ``purge_configured`` is the truth of
    ``APT::Get::Purge``.
    """
    apt_decides = frontend in ("apt", "apt-get")
    if state is not None and state.status == "config-files":
        return Action.PURGE, False
    if purge_configured:
        return (
            Action.PURGE,
            not apt_decides,
        )  # other programs may have it from apt.conf, where it means nothing
    selection = state.selection if state is not None else None
    if selection == "purge":
        # Elsewhere it may be a stale wish, which apt sets aside for the time of its run.
        return Action.PURGE, not (dselect_upgrade or frontend == "aptitude")
    if apt_decides:
        # Without a state an rc package cannot be told from an installed one.
        return (Action.REMOVE, False) if state is not None else (Action.PURGE, True)
    if frontend in ("packagekit", "unattended-upgrade") and state is not None:
        return Action.REMOVE, False
    if frontend == "aptitude" and selection == "deinstall":
        return Action.REMOVE, False
    return Action.PURGE, True
