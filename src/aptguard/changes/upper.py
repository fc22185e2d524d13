# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a rehearsal left in the upper directories of its overlays; standard library only.

Start here: read_changes. The steps lie in modules of their own: classify (what an upper entry means),
walk (which entries to look at), compare (in which ways two differ), hard_links (what else changed with
it). Facts: Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from aptguard.changes.hard_links import HardLinks
from aptguard.changes.layer import Layer, OpenLayer, copy_root_metadata
from aptguard.changes.model import Change
from aptguard.changes.summary import tree_order
from aptguard.changes.walk import Ignore, LimitReachedError, Walk

__all__ = ["ChangeSet", "Ignore", "Layer", "copy_root_metadata", "read_changes"]


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What differs.

    ``changes`` are in the order of a directory listing, parents before what lies below. ``truncated``
    says that there are more. ``problems`` are sentences, one for each thing that could not be compared:
    with any of them the set may lack something, and must not be taken for harmless.
    """

    changes: tuple[Change, ...]
    truncated: bool
    problems: tuple[str, ...]


def read_changes(layers: Sequence[Layer], *, limit: int, ignore: Ignore | None = None) -> ChangeSet:
    """Return what the run changed: upper against lower, and everything below what was deleted or moved.

    At most ``limit`` changes; when there are more, the deeper ones below a deletion lack first. ``ignore``
    is asked with path and lstat result of each upper entry; what it answers True for is left out with all
    below (entries that were put there before the run, told by their inode). Metadata of a mount's root
    counts: see copy_root_metadata. Needs /proc, CAP_SYS_ADMIN in the first user namespace, Linux 5.8, and
    nobody writing to the upper directories. Never raises for what it finds on disk.
    """
    links = HardLinks()
    walk = Walk(limit=limit, links=links, ignore=ignore)
    truncated = False
    with ExitStack() as stack:
        try:
            opened = [stack.enter_context(OpenLayer(layer)) for layer in layers]
            walk.run(opened)
            walk.read_copies(opened)
        except LimitReachedError:
            truncated = True
        changes = walk.changes
        links.complete(changes, walk.problem)
    changes.sort(key=tree_order)
    return ChangeSet(tuple(changes), truncated, walk.problems)
