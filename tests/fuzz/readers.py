# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that read one format and return values: nothing in them decides."""

from __future__ import annotations

import os
from collections.abc import Iterable

from aptguard.host.accounts import declared_accounts, read_accounts
from aptguard.host.alternatives import read_alternative
from aptguard.host.diversions import read_diversions
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.file_lists import parse_list
from aptguard.host.status_file import StatusFile
from aptguard.host.ucf_registry import ucf_files
from aptguard.policy.finding import Severity
from aptguard.policy.judge import judge
from aptguard.policy.load import PolicyPaths, load_policy
from aptguard.rehearsal.mount_plan import plan_mounts
from aptguard.rehearsal.mountinfo import read_mountinfo, visible_mounts
from aptguard.rehearsal.recorders import read_calls
from fuzz.target import Target, demand, demand_sentence
from unit.change_sets import PURGE, SHIPPED, TODAY, facts, gone, result


def _lines_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class FileListTarget(Target):
    """dpkg's file lists."""

    name = "file_list"
    share = 130
    tokens = (b"/.\n", b"/usr\n", b"\n\n", b"/usr/share/doc/\n", b"\0")

    def seeds(self) -> Iterable[bytes]:
        return (b"", b"/.\n/usr\n/usr/bin\n/usr/bin/toy\n", b"/.\n\n/etc/x", b"usr/relative\n/y\xff\n")

    def attempt(self, data: bytes) -> None:
        read = parse_list(data)
        lines = data.split(b"\n")
        absolute = [line for line in lines[:-1] if line.startswith(b"/")]
        demand(list(read.paths) == [line for line in absolute if line != b"/."], "a path is lost or invented")
        odd = len(lines) - 1 - len(absolute) + bool(lines[-1])
        demand(read.odd_lines == odd, f"{read.odd_lines} odd lines are told of {odd}")


class AccountsTarget(Target):
    """passwd(5) and group(5), divided by a byte 0, and sysusers.d(5)."""

    name = "accounts"
    share = 120
    tokens = (
        b":x:0:0:",
        b"root:x:0:0:root:/root:/bin/sh\n",
        b"+::::::\n",
        b"adm:*:4:a,b\n",
        b"u! toy\n",
        b":",
    )

    def seeds(self) -> Iterable[bytes]:
        return (
            b"root:x:0:0:root:/root:/bin/bash\ntoy:x:99:99::/:/usr/sbin/nologin\n\0root:x:0:\nadm:x:4:toy,a\n",
            b"+@net::::::\n# c\n\n:x:1:1:::\n\0g:x:-1:\n",
            b'u toy - "Toy" /\nu! "other" 5\n',
        )

    def attempt(self, data: bytes) -> None:
        passwd, _, group = data.partition(b"\0")
        accounts = read_accounts(passwd, group)
        lines = [*passwd.split(b"\n"), *group.split(b"\n")]
        meant = [line for line in lines if line.strip() and line[:1] not in (b"#", b"+", b"-")]
        found = len(accounts.accounts) + len(accounts.groups) + len(accounts.broken)
        demand(found == len(meant), f"of {len(meant)} lines {found} are told of")
        for line in accounts.broken:
            demand_sentence(line)
        declared_accounts(data)


class MountinfoTarget(Target):
    """/proc/self/mountinfo, and the plan that is made of it."""

    name = "mountinfo"
    share = 80
    tokens = (
        b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
        b"\n2 1 0:2 / /proc rw - proc proc rw",
        b" - tmpfs tmpfs rw",
        b" shared:1 - ",
        b"\\040",
        b"\\777",
        b"overlay overlay rw,lowerdir=/a",
    )

    def seeds(self) -> Iterable[bytes]:
        yield _lines_of("/proc/self/mountinfo")[: self.largest]
        yield b"".join(
            b"%d %d 8:%d / %s rw,relatime shared:1 - %s /dev/sda%d rw\n"
            % (number, parent, number, point, kind, number)
            for number, parent, point, kind in (
                (1, 0, b"/", b"ext4"),
                (2, 1, b"/boot", b"vfat"),
                (3, 1, b"/home", b"xfs"),
                (4, 3, b"/home/a\\040b", b"nfs"),
                (5, 1, b"/home", b"tmpfs"),
                (6, 1, b"/proc", b"proc"),
            )
        )

    def attempt(self, data: bytes) -> None:
        try:
            mounts = read_mountinfo(data)
            visible = visible_mounts(mounts)
        except ValueError as error:
            demand_sentence(error)
            return
        numbers = {int(line.split(b" ")[0]) for line in data.split(b"\n") if line}
        demand(
            [mount.id for mount in mounts] == sorted(numbers, key=[m.id for m in mounts].index),
            "a mount is lost",
        )
        demand(set(visible) <= set(mounts), "a mount is visible that is not there")
        points = [mount.point for mount in visible]
        demand(len(points) == len(set(points)), "two mounts are visible at one place")
        plan_mounts(visible, frozenset())


class DpkgFilesTarget(Target):
    """The status file, alternatives, diversions, ucf's registry: the first byte says which."""

    name = "dpkg_files"
    share = 90
    tokens = (
        b"Package: toy\n",
        b"Status: install ok installed\n",
        b"Architecture: amd64\nVersion: 1\n",
        b"Conffiles:\n /etc/a 0123456789abcdef0123456789abcdef obsolete\n",
        b"Replaces: a (<< 2), b:any\n",
        b"\n\n",
        b"auto\n/usr/bin/editor\n",
    )

    def seeds(self) -> Iterable[bytes]:
        return (
            b"0Package: toy\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2\nConffiles:\n"
            b" /etc/toy 0123456789abcdef0123456789abcdef\nReplaces: other (<< 1)\n\nPackage: b\nStatus: x\n",
            b"1auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n/bin/nano\n40\n\n\n",
            b"2/usr/bin/a\n/usr/bin/a.distrib\ntoy\n/b\n/b.real\n:\n",
            b"3toy /etc/toy.conf\nother\t/etc/other\n",
        )

    def attempt(self, data: bytes) -> None:
        kind, content = data[:1], data[1:]
        try:
            if kind == b"1":
                for link in read_alternative(content):
                    demand(link.startswith(b"/"), f"the link {link!r} is not absolute")
            elif kind == b"2":
                self._diversions(content)
            elif kind == b"3":
                for path in ucf_files(content, frozenset(("toy", "other"))):
                    demand(path.startswith(b"/"), f"the path {path!r} is not absolute")
            else:
                self._status(content)
        except (DpkgDatabaseError, ValueError) as error:
            demand_sentence(error)

    def _diversions(self, content: bytes) -> None:
        path = os.path.join(self.directory, "diversions")
        with open(path, "wb") as file:
            file.write(content)
        read_diversions(os.fsencode(path))

    def _status(self, content: bytes) -> None:
        status = StatusFile(content)
        status.stanzas(frozenset(("toy",)))
        for stanza in status.stanzas().values():
            demand(bool(stanza.package), "a stanza has no package")
            _ = (stanza.conffiles, stanza.replaces, stanza.binary_package, stanza.version)
            _ = (stanza.selection, stanza.status)


class RecordedCallsTarget(Target):
    """What a script did that went no further: it may have written that file itself."""

    name = "recorded_calls"
    share = 90
    tokens = (
        b"3\0systemctl\0stop\0x\0",
        b"2\0mount\0-a\0",
        b"4\0service\0a\0b\0c\0",
        b"99999\0",
        b"1\0mknod\0",
        b"4\0btrfs\0subvolume\0delete\0/srv\0",
        b"2\0dd\0of=/dev/sda\0",
    )

    def seeds(self) -> Iterable[bytes]:
        return (b"3\0systemctl\0stop\0ssh\0" + b"4\0invoke-rc.d\0a\0restart\0--force\0", b"2\0sysctl\0a=b\0")

    def attempt(self, data: bytes) -> None:
        for effect in read_calls(data)[0]:
            demand_sentence(effect.detail)


class PolicyTarget(Target):
    """One file of the administrator's policy beside the shipped ones, read from disk."""

    name = "policy"
    share = 30
    tokens = (
        b"[rule.a-b]\n",
        b'place = "data"\n',
        b'paths = ["/srv/**"]\n',
        b'because = "x"\n',
        b'severity = "ignore"\n',
        b"[exception.a]\n",
        b'packages = ["toy"]\n',
        b'reason = "x"\n',
        b"expires = 2027-12-31\n",
        b"[limits]\nseconds = 5\n",
        b'mode = "report"\n',
        b'when_unable = "allow"\n',
        b"[check.unowned]\n",
        b'"""',
        b"[[",
        b"**",
        b"[a-]",
    )

    def __init__(self) -> None:
        super().__init__()
        self._file = os.path.join(self.directory, "policy.toml")
        self._paths = PolicyPaths(
            SHIPPED, self._file, os.path.join(self.directory, "none"), os.path.join(self.directory, "last")
        )
        self._shipped = load_policy(PolicyPaths(SHIPPED, *3 * ("/nonexistent/x",)), remember=False).policy
        self._vendor = os.path.join(self.directory, "vendor")
        os.mkdir(self._vendor)
        with open(os.path.join(self._vendor, "small.toml"), "w", encoding="ascii") as file:
            file.write('[rule.keep]\nplace = "data"\npaths = ["/srv/**"]\nbecause = "Data lives here."\n')
        self._small = PolicyPaths(self._vendor, self._file, *2 * ("/nonexistent/x",))

    def seeds(self) -> Iterable[bytes]:
        for name in sorted(os.listdir(SHIPPED)):
            yield _lines_of(os.path.join(SHIPPED, name))[: self.largest]
        yield (
            b'mode = "report"\nwhen_unable = "block"\n[limits]\nseconds = 60\n[rule.site]\nplace = "data"\n'
            b'paths = ["/srv/site/**", "/data/[a-z]*.d"]\nbecause = "Mine."\nchanges = ["deleted"]\n'
        )
        yield (
            b'[exception.old]\npackages = ["toy"]\nrules = ["keep"]\npaths = ["/srv/x/**"]\nreason = "r"\n'
            b'expires = 2027-12-31\n[check.unowned]\nseverity = "warn"\n[rule.keep]\nseverity = "ignore"\n'
        )

    def attempt(self, data: bytes) -> None:
        with open(self._file, "wb") as file:
            file.write(data)
        loaded = load_policy(self._small, remember=False)
        for problem in loaded.problems:
            demand_sentence(problem.sentence())
        if not loaded.degraded:
            judge(PURGE, result(gone("/srv/x/y")), facts(), loaded.policy, TODAY)
            return
        kept = {rule.name: rule.severity for rule in loaded.policy.path_rules}
        demand(kept.get("keep") is Severity.BLOCK, "a broken file has taken a shipped rule away")
        judgement = judge(PURGE, result(gone("/srv/x/y")), facts(), loaded.policy, TODAY)
        demand(
            judgement.verdict.value == "block", "a broken file has made a block an " + judgement.verdict.value
        )
