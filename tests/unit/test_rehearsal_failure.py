# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from aptguard.rehearsal.failure import describe_failure

REMOVE = (b"/usr/bin/dpkg", b"--force-confdef", b"--no-triggers", b"--abort-after=1", b"--remove", b"heir")
OUTPUT = b"""Preparing to unpack .../other.deb ...
other: hello
(Reading database ... 11510 files and directories currently installed.)
Removing heir (1.0) ...
rm: cannot remove '/srv/www/site': Is a directory
dpkg: error processing package heir (--remove):
 installed heir package %s script subprocess returned error exit status 1
dpkg: too many errors, stopping
Errors were encountered while processing:
 heir
"""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (b"post-removal", "postrm"),
        (b"pre-removal", "prerm"),
        (b"pre-installation", "preinst"),
        (b"post-installation", "postinst"),
    ],
)
def test_the_script_that_failed_is_named_with_its_own_last_words_only(words: bytes, name: str) -> None:
    unknown = describe_failure(REMOVE, 1, OUTPUT % words)
    assert unknown.what == f"{name} of heir"
    assert unknown.reason == (
        "it returned error exit status 1 and said: rm: cannot remove '/srv/www/site': Is a directory"
    )


def test_a_failure_that_dpkg_lays_at_no_scripts_door_is_the_calls_own() -> None:
    unknown = describe_failure(REMOVE, 2, b"dpkg: unrecoverable fatal error, aborting:\n unable to fsync\n")
    assert unknown.what == "dpkg --remove heir"
    assert unknown.reason == (
        "it ended with exit status 2 and said: dpkg: unrecoverable fatal error, aborting: | unable to fsync"
    )


def test_a_call_that_was_killed_in_silence_is_said_to_have_been() -> None:
    assert describe_failure(REMOVE, -9, b"").reason == "it ended with signal 9 and said nothing"


def test_words_of_a_script_cannot_forge_lines_or_fill_the_page() -> None:
    unknown = describe_failure(
        REMOVE, 1, b"Removing heir\n" + b"\x1b[2J" * 900 + b"\n" + OUTPUT % b"pre-removal"
    )
    assert "\x1b" not in unknown.reason and len(unknown.reason) < 2000
