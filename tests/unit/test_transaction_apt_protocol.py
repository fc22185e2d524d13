# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.transaction import apt_protocol
from aptguard.transaction.apt_protocol import (
    AptInput,
    ProtocolError,
    foreign_root,
    other_database,
    read_apt_input,
    transaction_from_apt,
)
from aptguard.transaction.configuration import AptConfiguration, truth
from aptguard.transaction.frontend import is_dselect_upgrade, recognise_frontend
from aptguard.transaction.model import Action
from aptguard.transaction.package_state import PackageState
from aptguard.transaction.purge_or_remove import purge_or_remove

REMOVE = b"toy 1.0 amd64 none > - - none **REMOVE**\n"
HEAD = b"VERSION 3\nDir=/\nDir::State::status=/var/lib/dpkg/status\n\n"
INSTALLED = PackageState("install", "installed")


def settings(**values: bytes) -> AptConfiguration:
    base = {"Dir": b"/", "Dir::State::status": b"/var/lib/dpkg/status"}
    base.update({name.replace("__", "::").replace("_", "-"): value for name, value in values.items()})
    return AptConfiguration((name.encode(), value) for name, value in base.items())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "protocol 1"),
        (b"/x/toy_1.deb\n", "protocol 1"),
        (b"VERSION 1\n\n", "protocol 1"),
        (b"VERSION 2\nDir=/\n\n", "protocol 2"),
        (b"VERSION 4\nDir=/\n\n" + REMOVE, "protocol 4"),
        (b"VERSION 3x\n\n", "starts with 'VERSION 3x'"),
        (b"\0\0\0", "starts with"),
        (b"VERSION 3", "no empty line"),
        (b"VERSION 3\nDir=/\n", "no empty line"),
        (b"VERSION 3\nno equals sign\n\n", "line 2 of apt's configuration has no '='"),
        (b"VERSION 3\na=%\n\n", "starts no %xx escape"),
        (b"VERSION 3\na=%4\n\n", "starts no %xx escape"),
        (b"VERSION 3\na=b\0\n\n", "control character"),
        (HEAD + REMOVE[:-1], "middle of a line"),
        (HEAD + b"toy 1.0 amd64 none > - - none\n", "8 fields instead of 9"),
        (HEAD + b"\n", "1 fields instead of 9"),
        (HEAD + b"toy 1.0 amd64 none > - - none **KEEP**\n", "no action that aptguard knows"),
        (HEAD + b"toy 1.0 amd64 none > - - none relative.deb\n", "no action that aptguard knows"),
        (HEAD + b"toy - - none < 1 amd64 none **ERROR**\n", "absolute path"),
        (HEAD + b"toy - - none < 1 amd64 none /a\0b.deb\n", "no action that aptguard knows"),
        (HEAD + b"toy - - none > - - none **REMOVE**\n", "which version goes"),
        (HEAD + b"toy 1 amd64 none > 2 amd64 none **REMOVE**\n", "which version goes"),
        (HEAD + b"toy 1 amd64 none < - - none **CONFIGURE**\n", "in which version"),
        (HEAD + b"toy 1 amd64 none < - - none /x.deb\n", "in which version"),
        (HEAD + b"t\0y 1 amd64 none > - - none **REMOVE**\n", "not a package's line"),
        (HEAD + b"-y 1 amd64 none > - - none **REMOVE**\n", "not a package's line"),
        (HEAD + b"toy 1 am64/x none > - - none **REMOVE**\n", "not a package's line"),
        (HEAD + b"toy 1 amd64 some > - - none **REMOVE**\n", "not a package's line"),
        (HEAD + b"toy 1 amd64 none ? - - none **REMOVE**\n", "not a package's line"),
    ],
)
def test_bad_input_is_refused_with_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_apt_input(data)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


def test_input_above_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_protocol, "MAXIMUM_BYTES", len(HEAD + REMOVE))
    assert len(read_apt_input(HEAD + REMOVE).items) == 1
    with pytest.raises(ProtocolError, match="more than"):
        read_apt_input(HEAD + REMOVE + REMOVE)


def test_a_plan_with_too_many_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_protocol, "MAXIMUM_ITEMS", 1)
    with pytest.raises(ProtocolError, match="more than"):
        read_apt_input(HEAD + REMOVE + REMOVE)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_value_or_a_protocol_error(data: bytes) -> None:
    for candidate in (data, b"VERSION 3\n" + data, HEAD + data, HEAD + data + b"\n"):
        try:
            assert isinstance(read_apt_input(candidate), AptInput)
        except ProtocolError as error:
            assert str(error).isprintable()


words = st.text(string.ascii_letters + "%=<>*/ -:~", max_size=12).map(str.encode)


@given(st.lists(st.lists(words, min_size=7, max_size=10).map(b" ".join), max_size=4))
def test_lines_that_look_like_items_give_a_value_or_a_protocol_error(lines: list[bytes]) -> None:
    try:
        transaction_from_apt(read_apt_input(HEAD + b"".join(line + b"\n" for line in lines)), {})
    except ProtocolError as error:
        assert str(error).isprintable()


WITHOUT_NUL = st.binary(max_size=12).filter(lambda text: b"\0" not in text)


@given(st.dictionaries(WITHOUT_NUL.filter(lambda tag: tag != b"" and b":" not in tag), WITHOUT_NUL))
def test_settings_quoted_as_apt_quotes_them_are_read_back(values: dict[bytes, bytes]) -> None:
    def quoted(text: bytes, also: bytes) -> bytes:
        return b"".join(
            b"%%%02x" % byte if byte <= 0x20 or byte >= 0x7F or byte in b"%" + also else bytes((byte,))
            for byte in text
        )

    data = b"VERSION 3\n"
    data += b"".join(quoted(tag, b'="') + b"=" + quoted(value, b"") + b"\n" for tag, value in values.items())
    found = read_apt_input(data + b"\n").configuration
    last = {tag.lower(): value for tag, value in values.items()}
    for tag, value in last.items():
        assert found.find(tag.decode("utf-8", "surrogateescape")) == value


@pytest.mark.parametrize("word", [b"1", b"yes", b"TRUE", b"With", b"on", b"enable", b"01", b"0x1", b" +1"])
def test_apts_words_for_true_are_true(word: bytes) -> None:
    assert truth(word) is True


@pytest.mark.parametrize("word", [b"0", b"no", b"False", b"without", b"OFF", b"disable", b"0x0"])
def test_apts_words_for_false_are_false(word: bytes) -> None:
    assert truth(word) is False


@pytest.mark.parametrize("word", [b"2", b"1 ", b"y", b"t", b"1x", b"08", b"", b"-1", b"0x", b"truE\0"])
def test_other_words_leave_apts_default(word: bytes) -> None:
    assert truth(word) is None


def test_tags_are_compared_without_case() -> None:
    assert settings(apt__get__PURGE=b"yes").is_true("APT::Get::Purge")
    configuration = settings(Commandline__AsString=b"/usr/bin/unattended-upgrade -v")
    assert recognise_frontend(configuration) == "unattended-upgrade"


def test_children_are_the_direct_ones_only() -> None:
    configuration = AptConfiguration(
        [(b"A::B::", b"1"), (b"a::b::name", b"2"), (b"A::B::c::d", b"3"), (b"A::Bx::", b"4"), (b"A::B", b"5")]
    )
    assert configuration.children("A::B") == (b"1", b"2")


@pytest.mark.parametrize(
    "tag", ["RootDir", "DPkg::Chroot-Directory", "dpkg::chroot-directory"], ids=lambda tag: tag
)
def test_a_chroot_is_foreign_under_any_spelling_of_its_tag(tag: str) -> None:
    assert "/alt" in (foreign_root(AptConfiguration([(tag.encode(), b"/alt")])) or "")


@pytest.mark.parametrize("value", [b"/", b"//", b"/./", b"/alt/..", b"/../"])
def test_a_chroot_into_the_root_itself_is_not_foreign(value: bytes) -> None:
    assert foreign_root(settings(RootDir=value)) is None
    assert foreign_root(settings(DPkg__Chroot_Directory=value)) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([b"--instdir=/alt"], "own package database"),
        ([b"--root=/alt", b"--force-script-chrootless"], "outside of that root"),
        ([b"--root=/alt", b"--force", b"all"], "outside of that root"),
    ],
)
def test_dpkg_sent_to_another_root_in_parts_only_is_not_foreign_but_told(
    options: list[bytes], reason: str
) -> None:
    own = [(b"Dir::State::status", b"/var/lib/dpkg/status")]
    configuration = AptConfiguration([*own, *((b"DPkg::Options::", option) for option in options)])
    assert foreign_root(configuration) is None
    assert reason in (other_database(configuration) or "")


def test_another_name_of_the_root_is_not_foreign_when_it_can_be_compared() -> None:
    configuration = settings(DPkg__Chroot_Directory=b"/proc/self/root")
    assert foreign_root(configuration, is_this_root=lambda path: path == b"/proc/self/root") is None
    assert foreign_root(configuration, is_this_root=lambda path: False) is not None


def test_dpkg_sent_to_another_root_is_foreign_but_another_database_is_not() -> None:
    assert foreign_root(settings(DPkg__Options__=b"--root=/alt")) is not None
    moved = settings(DPkg__Options__=b"--admindir=/alt")
    assert foreign_root(moved) is None
    assert other_database(moved) is not None


@pytest.mark.parametrize("tag", ["Dir", "Dir::State", "Dir::State::status"])
def test_a_plan_by_another_status_file_still_changes_this_machine(tag: str) -> None:
    pairs = {"Dir": b"/", "Dir::State": b"var/lib/apt", "Dir::State::status": b"status"} | {tag: b"/alt/"}
    configuration = AptConfiguration((name.encode(), value) for name, value in pairs.items())
    assert foreign_root(configuration) is None
    assert other_database(configuration) is not None


def test_a_status_file_given_relative_to_its_parents_is_resolved_as_apt_does() -> None:
    pairs = {"Dir": b"/", "Dir::State": b"var/lib/dpkg/", "Dir::State::status": b"status"}
    assert other_database(AptConfiguration((name.encode(), value) for name, value in pairs.items())) is None


def test_options_that_dpkg_would_refuse_do_not_make_a_run_foreign() -> None:
    configuration = settings(DPkg__Options__=b"--nonsense")
    assert foreign_root(configuration) is None
    assert "nonsense" in (other_database(configuration) or "")


@pytest.mark.parametrize(
    ("argv", "frontend"),
    [
        (["aptitude", "purge", "x"], "aptitude"),
        (["/usr/bin/aptitude-curses"], "aptitude"),
        (["/usr/libexec/packagekitd"], "packagekit"),
        (["/usr/bin/python3", "/usr/bin/unattended-upgrade"], "unattended-upgrade"),
        (["/usr/bin/python3", "-u", "/usr/bin/unattended-upgrade"], "unattended-upgrade"),
        (["/usr/bin/python3.11", "/tmp/aptitude-like.py"], "libapt"),
        (["vi", "aptitude"], "libapt"),
        ([], "libapt"),
    ],
)
def test_the_front_end_is_recognised_by_its_process(argv: list[str], frontend: str) -> None:
    assert recognise_frontend(settings(), argv) == frontend


def test_a_package_named_dselect_upgrade_does_not_hide_in_the_program_name() -> None:
    assert not is_dselect_upgrade(settings(), ["dselect-upgrade", "remove"])
    assert is_dselect_upgrade(settings(), ["apt-get", "-y", "dselect-upgrade"])


@pytest.mark.parametrize(
    "frontend", ["apt", "apt-get", "aptitude", "packagekit", "unattended-upgrade", "libapt"]
)
@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("state", [None, INSTALLED, PackageState("purge", "installed")])
def test_a_removal_is_certain_only_where_something_says_so(
    frontend: str, configured: bool, state: PackageState | None
) -> None:
    action, assumed = purge_or_remove(
        frontend=frontend, purge_configured=configured, dselect_upgrade=False, state=state
    )
    if action is Action.REMOVE:
        assert not assumed
        assert state == INSTALLED
        assert not configured
        assert frontend not in ("aptitude", "libapt")
    else:
        assert action is Action.PURGE


@pytest.mark.parametrize("frontend", ["apt-get", "packagekit", "libapt", "aptitude"])
def test_what_is_left_of_a_removed_package_can_only_be_purged(frontend: str) -> None:
    state = PackageState("deinstall", "config-files")
    assert purge_or_remove(frontend=frontend, purge_configured=False, dselect_upgrade=False, state=state) == (
        Action.PURGE,
        False,
    )
