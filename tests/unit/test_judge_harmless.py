# SPDX-License-Identifier: GPL-3.0-or-later
"""What must pass without a word: ordinary packages that look similar to accidents."""

from __future__ import annotations

import pytest
from change_sets import (
    INSTALL,
    PURGE,
    REMOVE,
    UPGRADE,
    altered,
    directory,
    facts,
    file,
    gone,
    judged,
    link,
    made,
    transaction,
)

from aptguard.changes.model import Change, Kind
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Verdict
from aptguard.transaction.model import Action, Transaction

LISTED = ("/usr/bin/toy", "/usr/share/doc/toy/copyright")
SIBLINGS = {
    "toy-daemon": PackageFacts("toy-daemon", "amd64", "installed", "1", source="toy"),
    "toy-common": PackageFacts("toy-common", "amd64", "installed", "1", source="toy"),
}
DIVERTED = {b"/usr/bin/tool": b"/usr/bin/tool.distrib", b"/usr/bin/tool.distrib": b"/usr/bin/tool"}
FOO = transaction(("toy-daemon", Action.UPGRADE))

HARMLESS: list[tuple[str, Transaction, tuple[Change, ...], Facts]] = [
    ("own-files-on-remove", REMOVE, tuple(map(gone, LISTED)), facts(mine=LISTED)),
    ("own-cache-on-purge", PURGE, (gone("/var/cache/toy", directory()), gone("/var/cache/toy/x")), facts()),
    ("own-cache-on-remove", REMOVE, (gone("/var/cache/toy/x"),), facts()),
    ("own-log-on-purge", PURGE, (gone("/var/log/toy/toy.log.1.gz"), gone("/var/log/toy.log")), facts()),
    ("own-log-on-remove", REMOVE, (gone("/var/log/toy/toy.log"),), facts()),
    ("own-state-on-purge", PURGE, (gone("/var/lib/toy", directory()), gone("/var/lib/toy/db")), facts()),
    (
        "state-in-a-directory-that-only-it-lists",
        PURGE,
        (gone("/var/lib/dhcpx/leases"),),
        facts(directories=["/var/lib/dhcpx"]),
    ),
    (
        "empty-state-on-remove",
        REMOVE,
        (gone("/var/lib/toy", directory()), gone("/var/lib/toy/lock", file(0))),
        facts(),
    ),
    (
        "conffile-on-purge",
        PURGE,
        (gone("/etc/toy.cfg"),),
        facts(mine=["/etc/toy.cfg"], conffiles=["/etc/toy.cfg"]),
    ),
    (
        "what-dpkg-leaves-beside-a-conffile",
        PURGE,
        tuple(
            gone(f"/etc/{name}")
            for name in ("x~", "x.bak", "x%", "x.dpkg-old", "x.dpkg-dist", "x.dpkg-new", "x~3~", "#x#")
        ),
        facts(conffiles=["/etc/x"]),
    ),
    (
        "ucf-file",
        PURGE,
        (gone("/etc/odd.conf"), gone("/etc/odd.conf.ucf-old")),
        facts(conffiles=["/etc/odd.conf"]),
    ),
    (
        "ucf-registry",
        PURGE,
        (altered("/var/lib/ucf/registry", Kind.CONTENT), gone("/var/lib/ucf/registry.3")),
        facts(),
    ),
    (
        "conffile-renamed-aside",
        UPGRADE,
        (gone("/etc/x"), made("/etc/x.dpkg-bak")),
        facts(mine=["/etc/x"], conffiles=["/etc/x"]),
    ),
    (
        "conffile-handed-over",
        UPGRADE,
        (altered("/etc/x", Kind.CONTENT),),
        facts(owners={"/etc/x": "oldtoy"}, after=["/etc/x"]),
    ),
    (
        "file-taken-over-by-replaces",
        UPGRADE,
        (altered("/usr/bin/tool", Kind.CONTENT, Kind.MODE),),
        facts(owners={"/usr/bin/tool": "oldtoy"}, after=["/usr/bin/tool"]),
    ),
    ("upgrade-drops-a-file", UPGRADE, (gone("/usr/share/toy/old"),), facts(mine=["/usr/share/toy/old"])),
    (
        "upgrade-replaces-the-shell",
        transaction(("dash", Action.UPGRADE)),
        (
            altered("/usr/bin/dash", Kind.CONTENT, by="dash"),
            altered("/usr/bin/sh", Kind.TARGET, before=link(b"dash"), by="dash"),
        ),
        facts(
            owners={"/usr/bin/dash": "dash", "/usr/bin/sh": "dash"}, after=["/usr/bin/dash", "/usr/bin/sh"]
        ),
    ),
    (
        "alternatives",
        PURGE,
        (
            gone("/usr/bin/editor", link(b"/etc/alternatives/editor")),
            gone("/etc/alternatives/editor", link(b"/usr/bin/toy")),
            gone("/var/lib/dpkg/alternatives/editor"),
            altered("/var/log/alternatives.log", Kind.CONTENT),
        ),
        facts(alternatives=frozenset({b"/usr/bin/editor"})),
    ),
    (
        "own-diversion-made",
        INSTALL,
        (altered("/usr/bin/tool", Kind.CONTENT), made("/usr/bin/tool.distrib")),
        facts(owners={"/usr/bin/tool": "coreutils"}, diverted=DIVERTED),
    ),
    (
        "own-diversion-undone",
        PURGE,
        (gone("/usr/bin/tool.distrib"), altered("/usr/bin/tool", Kind.CONTENT)),
        facts(
            owners={"/usr/bin/tool.distrib": "coreutils"},
            mine=["/usr/bin/tool"],
            diverted=DIVERTED,
        ),
    ),
    (
        "byte-code",
        REMOVE,
        (
            gone("/usr/lib/python3/dist-packages/toy/__pycache__", directory()),
            gone("/usr/lib/python3/dist-packages/toy/__pycache__/a.cpython-311.pyc"),
        ),
        facts(),
    ),
    (
        "enable-links",
        REMOVE,
        (
            gone(
                "/etc/systemd/system/multi-user.target.wants/toy.service",
                link(b"/usr/lib/systemd/system/toy.service"),
            ),
            gone("/etc/systemd/system/dbus-org.toy.service", link(b"/usr/lib/systemd/system/toy.service")),
            gone("/etc/rc2.d/S01toy", link(b"../init.d/toy")),
            gone("/var/lib/systemd/deb-systemd-helper-enabled/toy.service.dsh-also"),
        ),
        facts(),
    ),
    (
        "dpkg-and-debconf-books",
        PURGE,
        (
            altered("/var/lib/dpkg/status", Kind.CONTENT),
            gone("/var/lib/dpkg/info/toy.list"),
            altered("/var/cache/debconf/config.dat", Kind.CONTENT),
            altered("/var/lib/apt/extended_states", Kind.CONTENT),
        ),
        facts(),
    ),
    (
        "account-tools",
        INSTALL,
        (
            altered("/etc/passwd", Kind.CONTENT),
            altered("/etc/shadow", Kind.CONTENT, Kind.MODE),
            made("/etc/passwd-"),
        ),
        facts(),
    ),
    (
        "linker-cache",
        INSTALL,
        (altered("/etc/ld.so.cache", Kind.CONTENT), altered("/var/cache/ldconfig/aux-cache", Kind.CONTENT)),
        facts(),
    ),
    (
        "manual-pages-index",
        INSTALL,
        (altered("/var/cache/man/index.db", Kind.CONTENT, by="man-db"),),
        facts(),
    ),
    (
        "initramfs",
        UPGRADE,
        (
            altered("/boot/initrd.img-6.1.0-9-amd64", Kind.CONTENT, by="initramfs-tools"),
            altered("/boot/grub/grub.cfg", Kind.CONTENT),
        ),
        facts(),
    ),
    (
        "kernel-links",
        UPGRADE,
        (altered("/vmlinuz", Kind.TARGET, before=link(b"boot/a")), gone("/initrd.img.old", link(b"boot/b"))),
        facts(),
    ),
    (
        "certificates",
        REMOVE,
        (
            gone("/etc/ssl/certs/0a1b2c3d.0", link(b"toy.pem")),
            altered("/etc/ssl/certs/ca-certificates.crt", Kind.CONTENT),
        ),
        facts(),
    ),
    ("runtime-directory", REMOVE, (gone("/run/toy/toy.pid"), gone("/run/toy", directory())), facts()),
    ("temporary-file", INSTALL, (gone("/tmp/toy.x8z"),), facts()),
    (
        "state-migrated",
        UPGRADE,
        (
            gone("/var/lib/toy", directory()),
            gone("/var/lib/toy/db", file(77)),
            made("/var/lib/toy2/db", file(77)),
        ),
        facts(directories=["/var/lib/toy"]),
    ),
    (
        "directory-renamed",
        UPGRADE,
        (
            gone("/var/lib/toy", directory()),
            gone("/var/lib/toy/db"),
            made("/var/lib/toy2", directory(), renamed_from=b"/var/lib/toy"),
        ),
        facts(directories=["/var/lib/toy"]),
    ),
    (
        "one-file-of-state-on-upgrade",
        UPGRADE,
        (gone("/var/lib/toy/index.old"),),
        facts(directories=["/var/lib/toy"]),
    ),
    (
        "owner-of-its-state",
        UPGRADE,
        (
            altered("/var/lib/toy/db", Kind.OWNER, Kind.GROUP),
            altered("/var/lib/toy", Kind.MODE, before=directory()),
        ),
        facts(mine=["/var/lib/toy"], directories=["/var/lib/toy"]),
    ),
    (
        "directory-of-a-sibling",
        FOO,
        (altered("/var/lib/toy", Kind.OWNER, before=directory(), by="toy-daemon"),),
        facts(owners={"/var/lib/toy": "toy-common"}, packages=SIBLINGS),
    ),
    (
        "new-files",
        INSTALL,
        (made("/srv/toy", directory()), made("/etc/toy.conf"), made("/home/toy", directory())),
        facts(),
    ),
    (
        "empty-local-directory",
        REMOVE,
        (gone("/usr/local/lib/python3.11/dist-packages", directory()),),
        facts(),
    ),
    ("cache-of-root", INSTALL, (altered("/root/.cache/fontconfig/x", Kind.CONTENT),), facts()),
    (
        "first-page-of-the-web-server",
        transaction(("apache2", Action.PURGE)),
        (
            gone("/var/www/html/index.html", by="apache2"),
            gone("/etc/apache2/mods-enabled/x.load", link(b"../x"), by="apache2"),
        ),
        facts(),
    ),
    (
        "host-keys",
        transaction(("openssh-server", Action.PURGE)),
        (gone("/etc/ssh/ssh_host_rsa_key", by="openssh-server"),),
        facts(),
    ),
    (
        "locales",
        transaction(("locales", Action.PURGE)),
        (gone("/etc/locale.gen", by="locales"), gone("/usr/lib/locale/locale-archive", by="locales")),
        facts(),
    ),
    (
        "purge-after-removal",
        PURGE,
        (gone("/etc/toy/toy.conf"), gone("/etc/toy", directory())),
        facts(conffiles=["/etc/toy/toy.conf"], mine=["/etc/toy", "/etc/toy/toy.conf"]),
    ),
    (
        "shared-directory-kept",
        REMOVE,
        (gone("/usr/share/toy-data/mine"),),
        facts(
            mine=["/usr/share/toy-data/mine", "/usr/share/toy-data"],
            owners={"/usr/share/toy-data": "toy other"},
        ),
    ),
    ("nothing-differs", INSTALL, (Change(b"/srv/x", frozenset(), file(), file()),), facts()),
]


@pytest.mark.parametrize(
    ("plan", "changes", "known"), [row[1:] for row in HARMLESS], ids=[row[0] for row in HARMLESS]
)
def test_ordinary_work_passes_without_a_word(
    plan: Transaction, changes: tuple[Change, ...], known: Facts
) -> None:
    judgement = judged(plan, changes, known)
    assert judgement.findings == ()
    assert judgement.verdict is Verdict.ALLOW


def test_there_are_at_least_thirty_harmless_counterparts() -> None:
    assert len(HARMLESS) >= 30
