# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of dpkg for a transaction."""

from __future__ import annotations

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Step
from aptguard.transaction.model import Action, Item, Transaction


def calls(*items: Item, triggers: bool = False, options: tuple[bytes, ...] = ()) -> list[str]:
    found = steps(Transaction("apt", items, dpkg_options=options), triggers=triggers)
    return [_short(step) for step in found]


def _short(step: Step) -> str:
    words = [
        word.decode() for word in step.argv[1:] if not word.startswith((b"--force", b"--abort", b"--no-t"))
    ]
    return " ".join(words) + (f" < {step.stdin.decode()!r}" if step.stdin else "")


def gone(name: str, action: Action = Action.REMOVE, architecture: str = "amd64") -> Item:
    return Item(name, architecture, action, old_version="1")


def new(name: str) -> Item:
    return Item(name, "amd64", Action.INSTALL, new_version="1", archive=f"/a/{name} 1.deb".encode())


def configured(name: str) -> Item:
    return Item(name, "amd64", Action.CONFIGURE, new_version="1")


def test_a_removal_is_one_call() -> None:
    assert calls(gone("a"), gone("b")) == [
        "--set-selections < 'a:amd64 deinstall\\nb:amd64 deinstall\\n'",
        "--remove a:amd64 b:amd64",
    ]


def test_a_purge_removes_first_and_purges_nothing_that_somebody_else_wished_for() -> None:
    selections = "--set-selections < 'a:amd64 purge\\nb:amd64 deinstall\\n'"
    assert calls(gone("a", Action.PURGE), gone("b")) == [
        selections,
        "--remove a:amd64 b:amd64",
        selections,
        "--purge a:amd64",
    ]


def test_a_package_of_all_architectures_has_its_plain_name() -> None:
    assert calls(gone("a", architecture="all"))[-1] == "--remove a"


def test_what_is_unpacked_is_configured_at_the_end() -> None:
    assert calls(gone("x"), new("a"), new("b"), configured("b"), configured("a"))[1:] == [
        "--remove x:amd64",
        "--unpack --auto-deconfigure /a/a 1.deb /a/b 1.deb",
        "--configure a:amd64 b:amd64",
    ]


def test_a_pre_dependency_is_configured_before_what_needs_it() -> None:
    assert calls(new("a"), configured("a"), new("b"), configured("b")) == [
        "--unpack --auto-deconfigure /a/a 1.deb",
        "--configure a:amd64",
        "--unpack --auto-deconfigure /a/b 1.deb",
        "--configure b:amd64",
    ]


def test_triggers_are_the_last_call_and_only_when_asked_for() -> None:
    found = steps(Transaction("apt", (gone("a"),)), triggers=True)
    assert [step.triggers for step in found] == [False, False, True]
    assert b"--no-triggers" not in found[-1].argv
    assert all(b"--no-triggers" in step.argv for step in found[1:-1])
    assert _short(found[-1]) == "--configure --pending"


def test_a_call_without_triggers_never_takes_all_that_is_pending() -> None:
    """dpkg --configure --pending runs every pending trigger, --no-triggers or not."""
    for step in steps(Transaction("apt", (gone("a"), new("b"))), triggers=False):
        assert not {b"--configure", b"--pending"} <= set(step.argv)


def test_the_options_of_apt_stand_in_every_call() -> None:
    for step in steps(
        Transaction("apt", (gone("a", Action.PURGE),), dpkg_options=(b"--force-x",)), triggers=True
    ):
        assert step.argv[:2] == (b"/usr/bin/dpkg", b"--force-x")


def test_a_conffile_question_is_answered_without_overriding_what_the_options_say() -> None:
    """dpkg looks for confnew and confdef before confold, wherever they were given."""
    for options in ((), (b"--force-confnew",), (b"--force-overwrite,confnew",), (b"--force-confmiss",)):
        found = steps(Transaction("apt", (new("a"),), dpkg_options=options), triggers=False)
        given = [word for word in found[0].argv if word.startswith(b"--force-")]
        assert given == [*options, b"--force-confold"]
        assert b"--force-confdef" not in found[0].argv


def test_config_scripts_run_before_every_call_of_dpkg_where_apt_has_them_run() -> None:
    plan = Transaction("apt", (gone("b"), new("a"), configured("a")))
    first = steps(plan, triggers=False, preconfigured=True)[0]
    assert first.argv[0] == b"/bin/sh" and b"dpkg-preconfigure" in first.argv[2]
    assert first.argv[4:] == (new("a").archive,)
    assert steps(plan, triggers=False)[0].argv[0] == b"/usr/bin/dpkg"
    removal = steps(Transaction("apt", (gone("b"),)), triggers=False, preconfigured=True)
    assert all(step.argv[0] == b"/usr/bin/dpkg" for step in removal)


def test_a_transaction_that_only_configures_calls_nothing_else() -> None:
    assert calls(configured("a")) == ["--configure a:amd64"]


def test_triggers_run_also_for_packages_that_a_removal_leaves_without_what_they_need() -> None:
    plan = Transaction("aptguard audit", (gone("a", Action.PURGE),))
    last = steps(plan, triggers=True, left_out=("man-db",))[-1]
    assert last.argv[-2:] == (b"--force-depends", b"--triggers-only")
    last = steps(Transaction("apt", (new("a"),)), triggers=True, left_out=("man-db",))[-1]
    assert b"--force-depends" not in last.argv
