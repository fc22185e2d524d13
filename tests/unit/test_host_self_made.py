# SPDX-License-Identifier: GPL-3.0-or-later
"""What a package made itself and nobody has changed is told apart from what is somebody's."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from change_sets import PURGE, altered, directory, facts, file, gone, judged, link, result, rules, transaction
from dpkg_roots import Root

from aptguard.changes.model import Change, Kind, Node
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.dpkg_log import script_runs
from aptguard.host.self_made import SelfMade, self_made
from aptguard.policy.facts import PackageFacts
from aptguard.transaction.model import Action

TEMPLATE = b"the template that toy ships\n"
CONFIGURED = 1_800_000_000.0
NOBODYS: frozenset[bytes] = frozenset()


def log_line(seconds: float, text: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S ", time.localtime(seconds)) + text + "\n"


def log(start: float = CONFIGURED, end: float = CONFIGURED + 2) -> str:
    return (
        log_line(start - 5, "configure other:amd64 1 <none>")
        + log_line(start, "configure toy:amd64 1 <none>")
        + log_line(start, "status unpacked toy:amd64 1")
        + log_line(start, "status half-configured toy:amd64 1")
        + log_line(end, "status installed toy:amd64 1")
        + log_line(end + 9, "status installed other:amd64 1")
    )


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path / "root"))
    edited = hashlib.md5(b"a conffile\n").hexdigest()
    made.package("toy", [b"/usr/share/toy/template"], fields=f"Conffiles:\n /etc/toy.cfg {edited}\n")
    sums = f"{hashlib.md5(TEMPLATE).hexdigest()}  usr/share/toy/template\n"
    made.write("/var/lib/dpkg/info/toy.md5sums", sums.encode())
    made.write(
        "/var/lib/dpkg/info/toy.postinst", b'd=/etc\n[ -e "$d/hosts.odd" ] || echo x > "$d/hosts.odd"\n'
    )
    made.write("/var/lib/dpkg/info/toy.postrm", b"rm -f /etc/hosts.odd /etc/hosts.mine\n")
    made.write("/var/log/dpkg.log", log().encode())
    return made


def asked(root: Root, *changes: Change) -> SelfMade:
    return self_made(PURGE, result(*changes), DpkgDatabase(root.path), NOBODYS)


def test_a_file_with_the_content_of_one_that_the_package_ships_is_a_copy(root: Root) -> None:
    root.write("/srv/page", TEMPLATE)
    root.write("/etc/toy.cfg.off", b"a conffile\n")
    found = asked(root, gone("/srv/page"), gone("/etc/toy.cfg.off"))
    assert found.copies == {b"/srv/page", b"/etc/toy.cfg.off"}


def test_an_edited_copy_is_none(root: Root) -> None:
    root.write("/srv/page", TEMPLATE + b"edited")
    assert asked(root, gone("/srv/page")) == SelfMade()


def test_another_packages_template_does_not_count(root: Root) -> None:
    root.write("/srv/page", TEMPLATE)
    assert asked(root, gone("/srv/page", by="other")) == SelfMade()


def test_a_link_in_the_place_of_the_file_is_not_followed(root: Root) -> None:
    root.write("/srv/real", TEMPLATE)
    os.symlink(root.path + b"/srv/real", root.path + b"/srv/page")
    assert asked(root, gone("/srv/page")) == SelfMade()


@pytest.mark.parametrize(
    ("seconds", "own"),
    [
        (CONFIGURED - 1, False),
        (CONFIGURED - 0.004, True),
        (CONFIGURED + 1, True),
        (CONFIGURED + 2.9, True),
        (CONFIGURED + 3, False),
        (CONFIGURED + 86400, False),
    ],
)
def test_a_file_that_a_script_names_is_its_own_if_it_was_written_last_while_scripts_ran(
    root: Root, seconds: float, own: bool
) -> None:
    change = gone("/etc/hosts.odd", file(mtime_ns=int(seconds * 1e9)))
    assert asked(root, change).written == ({b"/etc/hosts.odd"} if own else set())


def test_a_file_that_no_making_script_names_is_not_its_own_whenever_it_was_written(root: Root) -> None:
    node = file(mtime_ns=int((CONFIGURED + 1) * 1e9))
    assert asked(root, gone("/etc/hosts.mine", node), gone("/etc/hosts", node)) == SelfMade()


def test_for_a_removed_package_the_script_that_is_left_is_asked(root: Root) -> None:
    os.unlink(root.path + b"/var/lib/dpkg/info/toy.postinst")
    node = file(mtime_ns=int((CONFIGURED + 1) * 1e9))
    assert asked(root, gone("/etc/hosts.mine", node)).written == {b"/etc/hosts.mine"}


def test_without_the_log_nothing_is_its_own(root: Root) -> None:
    os.unlink(root.path + b"/var/log/dpkg.log")
    assert asked(root, gone("/etc/hosts.odd", file(mtime_ns=int((CONFIGURED + 1) * 1e9)))) == SelfMade()


def test_a_rotated_log_still_tells(root: Root) -> None:
    root.write("/var/log/dpkg.log", b"")
    root.write("/var/log/dpkg.log.3.gz", gzip.compress(log().encode()))
    root.write("/var/log/dpkg.log.2.gz", b"no gzip at all")
    runs = script_runs(DpkgDatabase(root.path), {"toy"})
    assert runs == {"toy": ((CONFIGURED - 0.01, CONFIGURED + 3),)}


def test_a_damaged_log_tells_what_can_be_read(root: Root) -> None:
    root.write(
        "/var/log/dpkg.log", b"\xff\xfe\n\n2026-99-99 xx configure toy:amd64 1 2\nstatus\n" + log().encode()
    )
    assert script_runs(DpkgDatabase(root.path), {"toy"}) == {"toy": ((CONFIGURED - 0.01, CONFIGURED + 3),)}


def test_who_deletes_very_much_does_not_tidy_up(root: Root) -> None:
    root.write("/srv/page", TEMPLATE)
    many = [gone(f"/srv/{number}") for number in range(1000)]
    assert asked(root, gone("/srv/page"), *many) == SelfMade()


def test_what_the_package_made_may_go_but_not_from_a_place_of_data() -> None:
    own = facts(self_made=frozenset({b"/etc/hosts.odd", b"/srv/x"}), copies=frozenset({b"/srv/page"}))
    assert rules(judged(PURGE, [gone("/etc/hosts.odd"), gone("/srv/page")], own)) == set()
    assert rules(judged(PURGE, [gone("/srv/x")], own)) == {"local-data"}
    assert rules(judged(PURGE, [gone("/etc/hosts.odd")])) == {"unowned-file"}


def test_what_the_package_made_may_be_written_anew() -> None:
    own = facts(self_made=frozenset({b"/etc/hosts.odd"}))
    upgrade = transaction(("toy", Action.UPGRADE))
    assert rules(judged(upgrade, [altered("/etc/hosts.odd", Kind.CONTENT)], own)) == set()


def test_a_masked_unit_among_those_of_the_packages_is_no_data_but_a_real_link_is() -> None:
    path = "/usr/lib/systemd/system/toy-cleanup.service"
    assert rules(judged(PURGE, [gone(path, link(b"/dev/null"))])) == set()
    assert rules(judged(PURGE, [gone(path, link(b"/srv/units/x"))])) == {"unowned-file"}


def test_a_conffile_put_out_of_force_goes_with_its_package() -> None:
    own = facts(conffiles=["/etc/logrotate.d/odd"])
    assert rules(judged(PURGE, [gone("/etc/logrotate.d/odd.disabled")], own)) == set()
    assert rules(judged(PURGE, [gone("/etc/logrotate.d/other.disabled")], own)) == {"unowned-file"}


def test_a_directory_may_go_with_the_last_user_among_packages_of_one_source() -> None:
    mine = PackageFacts("toy", "amd64", "installed", "1", source="toys")
    other = PackageFacts("toy-common", "amd64", "installed", "1", source="toys")
    path = "/var/lib/toys"
    shared = facts(owners={path: "toy-common"}, packages={"toy": mine, "toy-common": other})
    assert rules(judged(PURGE, [gone(path, directory())], shared)) == set()
    assert rules(judged(PURGE, [gone(path)], shared)) == {"foreign-file"}
    stranger = replace(shared, packages={"toy": mine, "toy-common": replace(other, source="else")})
    assert rules(judged(PURGE, [gone(path, directory())], stranger)) == {"foreign-file"}


def test_an_empty_directory_that_a_making_script_names_may_go_but_not_one_with_something_in_it(
    root: Root,
) -> None:
    root.write("/var/lib/dpkg/info/toy.postinst", b"mkdir -p /srv/toys/a /srv/toys/b\n")
    changes = [gone(f"/srv/toys/{name}", directory()) for name in "abc"]
    assert asked(root, *changes, gone("/srv/toys/b/mine")).empty == {b"/srv/toys/a"}
    assert asked(root, gone("/srv/toys/a", directory(), by="other")).empty == set()
    known = facts(copies=frozenset({b"/srv/toys/a"}))
    assert rules(judged(PURGE, changes[:1], known)) == set()
    assert rules(judged(PURGE, changes[1:2], known)) == {"local-data"}


SOMETIME = int((CONFIGURED + 86400) * 1e9)


def added(root: Root, *changes: Change) -> set[bytes]:
    os.utime(root.path + b"/var/lib/dpkg/info/toy.list", (CONFIGURED, CONFIGURED))
    return set(asked(root, *changes).added)


def test_a_file_in_etc_that_nobody_names_was_added_by_a_person(root: Root) -> None:
    changes = [
        gone(path, file(mtime_ns=SOMETIME)) for path in ("/etc/toy/page.html", "/etc/toy/sites/toy.conf.2026")
    ]
    assert added(root, *changes) == {b"/etc/toy/page.html", b"/etc/toy/sites/toy.conf.2026"}


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("/etc/toy/hosts.odd", file(mtime_ns=SOMETIME)),  # its postinst names it
        ("/etc/toy/hosts.mine", file(mtime_ns=SOMETIME)),  # its postrm names it
        ("/etc/toy/hosts.odd~", file(mtime_ns=SOMETIME)),  # a copy of that
        ("/etc/toy/hosts.odd.dpkg-old", file(mtime_ns=SOMETIME)),
        ("/etc/toy/template", file(mtime_ns=SOMETIME)),  # it brings a file of this name
        ("/etc/toy/made", file(mtime_ns=int((CONFIGURED + 1) * 1e9))),  # by its scripts
        ("/etc/toy/made", file(mtime_ns=int((CONFIGURED + 50) * 1e9))),  # by its service
        ("/etc/toy/empty", file(0, mtime_ns=SOMETIME)),
        ("/etc/toy/link", link(b"/srv/page")),
        ("/etc/toy.page", file(mtime_ns=SOMETIME)),
        ("/etc/default/page", file(mtime_ns=SOMETIME)),
        ("/etc/cron.d/page", file(mtime_ns=SOMETIME)),
        ("/var/lib/toy/page", file(mtime_ns=SOMETIME)),
    ],
)
def test_what_a_package_generates_or_shares_was_not_added(root: Root, path: str, node: Node) -> None:
    assert added(root, gone(path, node)) == set()


def test_without_a_log_the_time_of_the_list_tells_when_the_package_was_installed(root: Root) -> None:
    os.unlink(root.path + b"/var/log/dpkg.log")
    changes = [
        gone(f"/etc/toy/{name}", file(mtime_ns=int((CONFIGURED + seconds) * 1e9)))
        for name, seconds in (("early", 200), ("late", 400))
    ]
    assert added(root, *changes) == {b"/etc/toy/late"}
