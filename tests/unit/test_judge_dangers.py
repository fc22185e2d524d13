# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be blocked: the classes of documented accidents as change sets."""

from __future__ import annotations

from dataclasses import replace

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
    rules,
    transaction,
)

from aptguard.changes.model import Change, Kind
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Severity, Verdict
from aptguard.transaction.model import Action, Transaction

EVERYTHING = (
    gone("/etc", directory()),
    gone("/etc/passwd"),
    gone("/etc/hosts"),
    gone("/usr", directory()),
    gone("/usr/bin", directory()),
    gone("/usr/bin/find"),
    gone("/bin", link(b"usr/bin")),
    gone("/home/alice/thesis.tex", file(9000)),
    gone("/srv/shop/orders.db", file(10**9)),
    gone("/var/lib/postgresql/15/main/base/1/2619", file(8192)),
)
OF_OTHERS = facts(owners={"/usr/bin/find": "findutils", "/usr/bin": "findutils coreutils"})
TOY_IN_OPT = facts(mine=["/opt", "/opt/toy", "/opt/toy/run"])

# identifier, plan, changes, facts, rule that must speak
DANGERS: list[tuple[str, Transaction, tuple[Change, ...], Facts, str]] = [
    ("A-home-is-root-top-level", PURGE, EVERYTHING, OF_OTHERS, "top-level-directory"),
    ("A-home-is-root-files-of-others", PURGE, EVERYTHING, OF_OTHERS, "foreign-file"),
    ("A-home-is-root-on-remove", REMOVE, EVERYTHING, OF_OTHERS, "home-directories"),
    ("A-home-shared", PURGE, (gone("/srv/shared/plan.odt"),), facts(), "local-data"),
    ("A-homes-of-everybody", PURGE, (gone("/home/alice", directory()),), facts(), "home-directories"),
    (
        "A-dot-directory-of-the-administrator",
        UPGRADE,
        (gone("/root/.toy/config"),),
        facts(),
        "home-directories",
    ),
    ("A-ssh-keys", PURGE, (gone("/home/alice/.ssh/authorized_keys"),), facts(), "ssh-keys"),
    ("A-key-added", INSTALL, (made("/root/.ssh/authorized_keys"),), facts(), "ssh-keys"),
    ("B-stray-space", INSTALL, (gone("/usr", directory()),), facts(), "top-level-directory"),
    ("B-html-beside-matches", PURGE, (gone("/usr/share/doc/bash/x.html"),), OF_OTHERS, "unowned-file"),
    (
        "B-mode-of-etc",
        INSTALL,
        (altered("/etc", Kind.MODE, before=directory()),),
        facts(),
        "top-level-directory",
    ),
    ("B-relative-to-root", INSTALL, (gone("/lib64", link(b"usr/lib64")),), facts(), "top-level-directory"),
    ("B-local-bin", PURGE, (gone("/usr/local/bin/deploy"),), facts(), "local-data"),
    ("B-name-with-newline", PURGE, (gone("/srv/a\nb"),), facts(), "local-data"),
    ("C-database-on-purge", PURGE, (gone("/var/lib/postgresql/15/main/PG_VERSION"),), facts(), "databases"),
    ("C-one-small-file", PURGE, (gone("/var/lib/one/one.db", file(20)),), facts(), "databases"),
    ("C-remove-deletes-state", REMOVE, (gone("/var/lib/toy/store.db"),), facts(), "remove-deletes-data"),
    ("C-remove-deletes-configuration", REMOVE, (gone("/etc/toy/keys"),), facts(), "remove-deletes-data"),
    ("C-link-to-the-data", PURGE, (gone("/var/lib/mysql/data", link(b"/data/mysql")),), facts(), "databases"),
    ("C-where-the-link-points", PURGE, (gone("/data/mysql/ibdata1"),), facts(), "unowned-file"),
    ("C-data-beside-the-program", PURGE, (gone("/opt/toy/data/x"),), TOY_IN_OPT, "local-data"),
    ("C-network-configuration", PURGE, (gone("/etc/network/interfaces"),), facts(), "network-configuration"),
    ("D-file-of-another", PURGE, (gone("/usr/bin/find"),), OF_OTHERS, "foreign-file"),
    (
        "D-shared-spool",
        PURGE,
        (gone("/var/spool/fax/etc", directory()),),
        facts(mine=["/var/spool/fax/etc"], owners={"/var/spool/fax/etc": "toy capi4fax"}),
        "foreign-file",
    ),
    (
        "D-replaces-without-breaks",
        REMOVE,
        (gone("/usr/bin/tool"),),
        facts(mine=["/usr/bin/tool"], replaced={b"/usr/bin/tool": ("oldtoy",)}),
        "lost-payload",
    ),
    (
        "D-moved-and-aliased",
        UPGRADE,
        (gone("/usr/bin/tool", by="q"),),
        facts(mine=["/usr/bin/tool"], after=["/usr/bin/tool"]),
        "lost-payload",
    ),
    (
        "D-place-of-a-package-with-a-similar-name",
        transaction(("toy-client-15", Action.PURGE)),
        (gone("/etc/toy/main/toy.conf", by="toy-client-15"),),
        facts(directory_owners={b"/etc/toy": ("toy-server",)}),
        "unowned-file",
    ),
    ("D-emptied-opt", PURGE, (gone("/opt", directory()),), TOY_IN_OPT, "top-level-directory"),
    ("D-climbing-rmdir", PURGE, (gone("/tmp", directory(0o1777)),), facts(), "top-level-directory"),
    ("D-nobodys-program", PURGE, (gone("/usr/bin/sv"),), facts(), "unowned-file"),
    (
        "D-link-of-the-shell",
        INSTALL,
        (altered("/usr/bin/vi", Kind.TARGET, before=link(b"vim")),),
        facts(owners={"/usr/bin/vi": "vim"}),
        "foreign-file",
    ),
    (
        "D-configuration-of-another",
        INSTALL,
        (altered("/etc/ssh/sshd_config", Kind.CONTENT),),
        facts(owners={"/etc/ssh/sshd_config": "openssh-server"}),
        "foreign-file",
    ),
    (
        "D-twin-of-the-other-architecture",
        Transaction("apt-get", (replace(PURGE.items[0], package="libtoy", architecture="i386"),)),
        (gone("/usr/share/doc/libtoy/copyright", by="libtoy:i386"),),
        facts(owners={"/usr/share/doc/libtoy/copyright": "libtoy:amd64 libtoy:i386"}),
        "foreign-file",
    ),
    (
        "D-diverted-file-that-went-nowhere",
        PURGE,
        (gone("/usr/bin/tool.distrib"),),
        facts(
            owners={"/usr/bin/tool.distrib": "coreutils"},
            diverted={b"/usr/bin/tool": b"/usr/bin/tool.distrib", b"/usr/bin/tool.distrib": b"/usr/bin/tool"},
        ),
        "foreign-file",
    ),
    (
        "E-old-script-deletes-new-files",
        UPGRADE,
        (gone("/usr/bin/toyd", script="postrm upgrade"),),
        facts(mine=["/usr/bin/toyd"], after=["/usr/bin/toyd"]),
        "lost-payload",
    ),
    (
        "E-whole-state-on-upgrade",
        UPGRADE,
        (gone("/var/lib/toy", directory()), gone("/var/lib/toy/state.db")),
        facts(directories=["/var/lib/toy"]),
        "remove-deletes-data",
    ),
    (
        "E-edited-file-overwritten",
        UPGRADE,
        (altered("/etc/toy/configuration.yml", Kind.CONTENT),),
        facts(
            mine=["/etc/toy/configuration.yml"],
            after=["/etc/toy/configuration.yml"],
            locally_modified=frozenset({b"/etc/toy/configuration.yml"}),
        ),
        "local-edit",
    ),
    ("F-below-a-mount", PURGE, (gone("/mnt/ceph/volume/disk.img"),), facts(), "local-data"),
    ("F-link-of-the-administrator", PURGE, (gone("/opt/toy", link(b"/data/toy")),), facts(), "local-data"),
    (
        "F-hard-link-of-the-libraries",
        UPGRADE,
        (altered("/usr/lib/libnss.so.2", Kind.MODE),),
        facts(owners={"/usr/lib/libnss.so.2": "libc6:amd64"}),
        "foreign-file",
    ),
    (
        "G-owner-of-everything",
        INSTALL,
        (altered("/usr/bin/find", Kind.OWNER),),
        OF_OTHERS,
        "foreign-file",
    ),
    (
        "G-setuid-lost",
        INSTALL,
        (altered("/usr/bin/sudo", Kind.MODE, Kind.SETUID),),
        facts(owners={"/usr/bin/sudo": "sudo"}),
        "foreign-file",
    ),
    (
        "G-capability-lost",
        INSTALL,
        (altered("/usr/bin/ping", Kind.CAPABILITY),),
        facts(owners={"/usr/bin/ping": "iputils-ping"}),
        "foreign-file",
    ),
    (
        "G-directory-above-the-payload",
        INSTALL,
        (altered("/usr/lib", Kind.MODE, before=directory()),),
        facts(owners={"/usr/lib": "base-files"}),
        "foreign-file",
    ),
    (
        "G-usr-unreadable",
        INSTALL,
        (altered("/usr", Kind.MODE, before=directory()),),
        facts(),
        "top-level-directory",
    ),
    (
        "G-mode-of-a-home",
        INSTALL,
        (altered("/home/alice", Kind.MODE, before=directory()),),
        facts(),
        "home-directories",
    ),
    (
        "H-essential",
        PURGE,
        (),
        facts(packages={"toy": PackageFacts("toy", "amd64", "installed", "1", essential=True)}),
        "protected-package",
    ),
    (
        "H-running-kernel",
        transaction(("linux-image-6.1.0-9-amd64", Action.REMOVE)),
        (),
        facts(running_kernel="6.1.0-9-amd64"),
        "protected-package",
    ),
    ("I-crontab-of-root", PURGE, (gone("/var/spool/cron/crontabs/root"),), facts(), "cron-jobs"),
]


@pytest.mark.parametrize(
    ("plan", "changes", "known", "rule"), [row[1:] for row in DANGERS], ids=[row[0] for row in DANGERS]
)
def test_a_documented_accident_is_blocked_by_the_rule_that_names_it(
    plan: Transaction, changes: tuple[Change, ...], known: Facts, rule: str
) -> None:
    judgement = judged(plan, changes, known)
    assert judgement.verdict is Verdict.BLOCK
    assert rule in rules(judgement)


@pytest.mark.parametrize(
    ("plan", "changes", "known", "rule"), [row[1:] for row in DANGERS], ids=[row[0] for row in DANGERS]
)
def test_a_block_says_who_did_what_where_and_by_which_rule_in_one_sentence(
    plan: Transaction, changes: tuple[Change, ...], known: Facts, rule: str
) -> None:
    for finding in judged(plan, changes, known).findings:
        subjects = [finding.path, finding.account, finding.subject_package]
        assert sum(one is not None for one in subjects) == 1
        assert finding.package is not None
        assert finding.origin
        assert finding.reason.endswith(".")
        assert "\n" not in finding.reason
        assert finding.severity is Severity.BLOCK


@pytest.mark.parametrize(
    ("plan", "changes", "known", "rule"), [row[1:] for row in DANGERS], ids=[row[0] for row in DANGERS]
)
def test_an_accident_is_blocked_also_when_the_script_failed_and_the_run_broke_off(
    plan: Transaction, changes: tuple[Change, ...], known: Facts, rule: str
) -> None:
    judgement = judged(plan, changes, known, complete=False)
    assert judgement.verdict is Verdict.BLOCK
    assert judgement.unknowns


@pytest.mark.parametrize(
    ("plan", "changes", "known", "rule"), [row[1:] for row in DANGERS], ids=[row[0] for row in DANGERS]
)
def test_an_accident_is_blocked_also_when_nobody_saw_who_did_it(
    plan: Transaction, changes: tuple[Change, ...], known: Facts, rule: str
) -> None:
    unseen = tuple(replace(change, cause=None) for change in changes)
    assert judged(plan, unseen, known).verdict is Verdict.BLOCK
