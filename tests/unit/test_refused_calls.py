# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs ask for namespaces only to try, or to do less in them."""

from __future__ import annotations

import pytest

from aptguard.rehearsal.refused_calls import only_tries


@pytest.mark.parametrize(
    "command",
    [
        "unshare -r true",
        "unshare -Urm /bin/true",
        "bwrap --unshare-all --ro-bind /usr /usr --tmpfs /tmp /usr/libexec/loader",
    ],
)
def test_a_trial_and_a_sandbox_that_cannot_write_are_harmless(command: str) -> None:
    assert only_tries(command.encode().split())


@pytest.mark.parametrize(
    "command",
    [
        "",
        "true",
        "unshare -r rm -rf /srv",
        "bwrap --bind / / rm -rf /srv",
        "bwrap --dev-bind / / rm -rf /srv",
        "bwrap --args 7 sh",
        "bwrap --bind / / rm -rf /srv true",
        "unshare --user rm -rf /srv true",
        "unshare --user --map-root-user -- rm true",
        "unshare -r sh -c true;rm",
    ],
)
def test_what_could_do_harm_is_none(command: str) -> None:
    assert not only_tries(command.encode().split())
