# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.transaction.dpkg_command import DpkgCommand, DpkgCommandError, read_dpkg_command
from aptguard.transaction.other_system import places_of, why_partly_another


def command(line: str) -> DpkgCommand:
    return read_dpkg_command(line.encode().split())


@pytest.mark.parametrize(
    ("line", "action", "names", "archives"),
    [
        ("dpkg -P a b:i386", "purge", (b"a", b"b:i386"), ()),
        ("dpkg --purge -- a", "purge", (b"a",), ()),
        ("dpkg -r --force-depends a", "remove", (b"a",), ()),
        ("dpkg -i /x/a.deb b.deb", "install", (), (b"/x/a.deb", b"b.deb")),
        ("dpkg -iGE a.deb", "install", (), (b"a.deb",)),
        ("dpkg --unpack a.deb", "unpack", (), (b"a.deb",)),
        ("dpkg --triggers-only a", "triggers-only", (b"a",), ()),
        ("dpkg -D10 -P a", "purge", (b"a",), ()),
        ("dpkg -D 10 -P a", "purge", (b"a",), ()),
        ("dpkg -PD=77 a", "purge", (b"a",), ()),
        ("dpkg --status-fd 14 --abort-after=1 --remove a", "remove", (b"a",), ()),
        ("dpkg --abort-after 1 --remove a", "remove", (b"a",), ()),
        ("dpkg -P a -r", "purge", (b"a", b"-r"), ()),
        ("dpkg -l a", "list", (), ()),
    ],
)
def test_a_command_line_is_read_as_dpkg_reads_it(
    line: str, action: str, names: tuple[bytes, ...], archives: tuple[bytes, ...]
) -> None:
    found = command(line)
    assert (found.action, found.names, found.archives) == (action, names, archives)


@pytest.mark.parametrize("line", ["dpkg -Pa", "dpkg -aP", "dpkg --purge --pending", "dpkg --pending -P"])
def test_pending_is_seen_long_short_and_clustered(line: str) -> None:
    assert command(line).pending
    assert command(line).action == "purge"
    assert command(line).names == ()


def test_recursive_takes_directories() -> None:
    found = command("dpkg -iR /tmp/dir")
    assert found.recursive
    assert found.archives == (b"/tmp/dir",)


@pytest.mark.parametrize("line", ["dpkg --no-act -P a", "dpkg --simulate -P a", "dpkg --dry-run -P a"])
def test_a_simulation_changes_no_packages(line: str) -> None:
    assert not command(line).changes_packages
    assert command("dpkg -P a").changes_packages
    assert not command("dpkg -l").changes_packages


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("dpkg --force depends -P a", (b"--force-depends",)),
        ("dpkg --no-force downgrade,overwrite -P a", (b"--no-force-downgrade,overwrite",)),
        ("dpkg --refuse downgrade -B -P a", (b"--refuse-downgrade", b"--auto-deconfigure")),
        ("dpkg --force -P -P a", (b"--force--P",)),
    ],
)
def test_what_is_forced_may_stand_in_a_word_of_its_own(line: str, options: tuple[bytes, ...]) -> None:
    found = command(line)
    assert (found.options, found.action, found.names) == (options, "purge", (b"a",))


@pytest.mark.parametrize(
    ("options", "outside"),
    [
        ("", False),
        ("--force-all", True),
        ("--force-script-chrootless", True),
        ("--force script-chrootless", True),
        ("--force-depends,script-chrootless,bad-path", True),
        ("--force-bad-path", False),
        ("--force-all --no-force-script-chrootless", False),
        ("--force-all --refuse-script-chrootless", False),
        ("--force-all --refuse all", False),
        ("--refuse-all --force-all --no-force-depends", True),
        ("--no-force-all", False),
    ],
)
def test_it_is_seen_where_scripts_are_to_run_outside_of_another_root(options: str, outside: bool) -> None:
    assert command(f"dpkg {options} -P a").scripts_outside is outside


def test_options_that_matter_are_kept_and_those_of_the_caller_are_not() -> None:
    found = command(
        "dpkg --status-fd 9 --log=/x --pre-invoke=x -B --force-depends,overwrite=1 --ignore-depends=a,b -P a"
    )
    assert found.options == (b"--auto-deconfigure", b"--force-depends,overwrite=1", b"--ignore-depends=a,b")


def test_options_read_again_give_the_same_command() -> None:
    found = command(
        "dpkg -EGBN --no-force-bad-path --refuse-downgrade --ignore-depends x --abort-after 3 -P a"
    )
    again = read_dpkg_command([b"dpkg", *found.options, b"--purge", *found.names])
    assert again == found


@pytest.mark.parametrize(
    "line",
    [
        "dpkg -P -r a",
        "dpkg --nonsense",
        "dpkg -Z a",
        "dpkg --root",
        "dpkg -D",
        "dpkg --purge=x a",
        "dpkg --force=x -P a",
        "dpkg --force",
    ],
)
def test_what_dpkg_refuses_is_refused_with_a_sentence(line: str) -> None:
    with pytest.raises(DpkgCommandError) as caught:
        command(line)
    assert str(caught.value).isprintable()


def test_command_fd_is_seen_as_an_action_of_its_own() -> None:
    assert command("dpkg --command-fd 3").action == "command-fd"
    assert command("dpkg --command-fd=3").action == "command-fd"


pieces = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"-P", b"-a", b"--", b"-", b"--root", b"--root=/x", b"-D", b"-iR", b"--force-x=\xff", b"--purge"]
    ),
)


@given(st.lists(pieces, max_size=6))
def test_arbitrary_words_give_a_command_or_a_refusal(words: list[bytes]) -> None:
    try:
        places = places_of(read_dpkg_command([b"dpkg", *words]))
        assert (why_partly_another(places) or "none").isprintable()
    except DpkgCommandError as error:
        assert str(error).isprintable()
