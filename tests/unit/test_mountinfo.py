# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading mountinfo, and the plan that follows from it."""

from __future__ import annotations

import pytest

from aptguard.changes.model import ViewName
from aptguard.rehearsal import mount_plan
from aptguard.rehearsal.mount_plan import MAY_HOLD, Cover, MountPlan, needs_a_server, plan_mounts
from aptguard.rehearsal.mountinfo import (
    Mount,
    is_below,
    lead_to_the_same_files,
    read_mountinfo,
    visible_mounts,
)

ROOT = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


def mounts(*lines: bytes) -> tuple[Mount, ...]:
    return visible_mounts(read_mountinfo(ROOT + b"".join(line + b"\n" for line in lines)))


def plan(*lines: bytes, files: frozenset[bytes] = frozenset()) -> MountPlan:
    return plan_mounts(mounts(*lines), files)


def reachable_names(path: bytes, layer: bytes, found: tuple[Mount, ...]) -> tuple[bytes, ...]:
    return mount_plan.reachable_names(path, layer, found)[0]


def covers(plan: MountPlan) -> dict[bytes, Cover]:
    return {planned.point: planned.cover for planned in plan.mounts}


def test_escaped_names_are_read_as_the_bytes_they_are() -> None:
    found = mounts(rb"30 27 0:30 / /a\040b\011c\012d\134e rw shared:1 master:2 - tmpfs x\040y rw,size=1k")
    assert found[1].point == b"/a b\tc\nd\\e"
    assert found[1].source == b"x y"


@pytest.mark.parametrize("line", [b"30 27 0:30 / /a rw", b"x y z", b"30 27 - tmpfs a rw"])
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        read_mountinfo(line)


def test_only_the_last_mount_on_a_directory_is_visible() -> None:
    found = mounts(b"30 27 0:30 / /a rw - tmpfs one rw", b"31 30 0:31 / /a rw - tmpfs two rw")
    assert [mount.source for mount in found[1:]] == [b"two"]


def test_a_mount_below_a_later_mount_is_hidden() -> None:
    found = mounts(b"30 27 0:30 / /a/b rw - tmpfs deep rw", b"31 27 0:31 / /a rw - tmpfs over rw")
    assert [mount.source for mount in found[1:]] == [b"over"]


def test_a_mount_that_replaced_the_root_is_the_root() -> None:
    found = visible_mounts(
        read_mountinfo(b"1 1 0:1 / / rw - rootfs rootfs rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n")
    )
    assert [mount.kind for mount in found] == [b"ext4"]


def test_a_root_that_is_no_mount_point_is_refused() -> None:
    with pytest.raises(ValueError, match="chroot"):
        visible_mounts(read_mountinfo(b"30 27 0:30 / /proc rw - proc proc rw\n"))


def test_below_means_at_or_below() -> None:
    assert is_below(b"/a/b", b"/a")
    assert is_below(b"/a", b"/a")
    assert is_below(b"/a", b"/")
    assert not is_below(b"/ab", b"/a")


@pytest.mark.parametrize(
    ("kind", "options", "cover"),
    [
        (b"ext4", b"rw", Cover.OVERLAY),
        (b"xfs", b"rw", Cover.OVERLAY),
        (b"btrfs", b"rw", Cover.OVERLAY),
        (b"tmpfs", b"rw", Cover.OVERLAY),
        (b"squashfs", b"ro", Cover.OVERLAY),
        (b"a-new-one", b"rw", Cover.OVERLAY),
        (b"vfat", b"rw", Cover.COPY),
        (b"nfs4", b"rw", Cover.OVERLAY),
        (b"fuse.sshfs", b"rw,user_id=1000,allow_other", Cover.OVERLAY),
        (b"fuseblk", b"rw,user_id=0", Cover.OVERLAY),
        (b"fuse.portal", b"rw,user_id=1000", Cover.UNCOVERED),
        (b"autofs", b"rw", Cover.UNCOVERED),
        (b"nsfs", b"rw", Cover.REPLACED),
        (b"cgroup2", b"rw", Cover.REPLACED),
    ],
)
def test_the_cover_follows_from_the_kind(kind: bytes, options: bytes, cover: Cover) -> None:
    found = plan(b"30 27 0:30 / /srv/x rw - %s src %s" % (kind, options))
    assert covers(found)[b"/srv/x"] is cover


TREES = (
    b"30 27 0:30 / /dev rw - devtmpfs d rw",
    b"31 27 0:31 / /sys rw - sysfs s rw",
    b"32 27 0:32 / /proc rw - proc p rw",
)


@pytest.mark.parametrize(
    ("point", "kind", "options", "cover"),
    [
        (b"/dev/shm", b"tmpfs", b"rw", Cover.OVERLAY),
        (b"/dev/mine", b"ext4", b"rw", Cover.OVERLAY),
        (b"/dev/pts", b"devpts", b"rw", Cover.REPLACED),
        (b"/dev/bound", b"devtmpfs", b"rw", Cover.REPLACED),
        (b"/sys/firmware/efi/efivars", b"efivarfs", b"rw", Cover.NAMES),
        (b"/sys/kernel/security", b"securityfs", b"rw", Cover.REPLACED),
        (b"/sys/kernel/config", b"configfs", b"rw", Cover.REPLACED),
        (b"/sys/fs/cgroup", b"tmpfs", b"rw", Cover.REPLACED),
        (b"/sys/mine", b"tmpfs", b"rw", Cover.OVERLAY),
        (b"/sys/firmware", b"tmpfs", b"ro", Cover.REPLACED),
        (b"/proc/acpi", b"tmpfs", b"ro", Cover.REPLACED),
        (b"/proc/sys/fs/binfmt_misc", b"autofs", b"rw", Cover.REPLACED),
        (b"/sys/devices/system/cpu", b"fuse.lxcfs", b"rw", Cover.REPLACED),
        (b"/sys/mine", b"fuse.mine", b"rw", Cover.UNCOVERED),
    ],
)
def test_what_is_mounted_in_a_tree_of_the_kernel_is_covered_as_elsewhere(
    point: bytes, kind: bytes, options: bytes, cover: Cover
) -> None:
    parent = {b"dev": 30, b"sys": 31, b"proc": 32}[point.split(b"/")[1]]
    found = plan(*TREES, b"40 %d 0:40 / %s %s - %s src rw" % (parent, point, options, kind))
    assert covers(found)[point] is cover


def test_a_file_of_the_kernel_that_a_mount_hides_stays_the_rehearsals_own() -> None:
    line = b"40 32 0:40 /null /proc/kcore rw - tmpfs t rw"
    assert covers(plan(*TREES, line, files=frozenset({b"/proc/kcore"})))[b"/proc/kcore"] is Cover.REPLACED


@pytest.mark.parametrize("kind", sorted(MAY_HOLD))
def test_what_the_kernel_keeps_for_somebody_is_uncovered_where_it_holds_something(kind: bytes) -> None:
    found = mounts(*TREES, b"40 31 0:40 / /sys/x rw - %s src rw" % kind)
    assert covers(plan_mounts(found, frozenset()))[b"/sys/x"] is Cover.REPLACED
    held = plan_mounts(found, frozenset(), {b"/sys/x": "somebody keeps something there"})
    assert covers(held)[b"/sys/x"] is Cover.UNCOVERED


def test_a_bind_mount_is_a_part_of_the_overlay_that_shows_it() -> None:
    found = plan(b"30 27 254:0 /srv/real /mnt rw - ext4 /dev/vda rw")
    alias = found.mounts[1]
    assert (alias.cover, alias.base, alias.inner) == (Cover.ALIAS, b"/", b"srv/real")


def test_of_two_mounts_the_one_that_shows_more_gets_the_overlay() -> None:
    found = plan(b"30 27 8:1 /part /mnt rw - ext4 d rw", b"31 27 8:1 / /srv/deep/whole rw - ext4 d rw")
    assert covers(found) == {b"/": Cover.OVERLAY, b"/mnt": Cover.ALIAS, b"/srv/deep/whole": Cover.OVERLAY}


def test_a_writable_bind_of_a_read_only_mount_has_an_overlay_of_its_own() -> None:
    found = plan(b"30 27 8:1 / /a ro - ext4 d rw", b"31 27 8:1 /x /b rw - ext4 d rw")
    assert covers(found)[b"/b"] is Cover.OVERLAY
    assert [planned.read_only for planned in found.mounts] == [False, True, False]


def test_a_file_from_elsewhere_is_copied() -> None:
    found = plan(b"30 27 8:1 /f /etc/hosts rw - ext4 d rw", files=frozenset({b"/etc/hosts"}))
    assert covers(found)[b"/etc/hosts"] is Cover.FILE


def test_the_plan_describes_itself_on_one_line_each() -> None:
    text = plan(rb"30 27 0:30 / /srv/a\012b rw - autofs h:/x rw").describe()
    assert len(text.splitlines()) == 2
    assert "automount" in text


def test_what_does_not_answer_is_not_covered_with_all_below() -> None:
    found = plan_mounts(
        mounts(b"30 27 0:30 / /srv/x rw - nfs4 h:/x rw", b"31 30 0:31 / /srv/x/y rw - tmpfs y rw"),
        frozenset(),
        {b"/srv/x": "it is away"},
    )
    assert [planned.cover for planned in found.mounts] == [Cover.OVERLAY, Cover.UNCOVERED, Cover.BELOW]
    assert found.mounts[1].reason == "it is away"


@pytest.mark.parametrize(
    ("kind", "options", "needs"),
    [
        (b"nfs4", b"rw", True),
        (b"fuse.sshfs", b"rw,user_id=0", True),
        (b"fuse.portal", b"rw,user_id=1000", False),
        (b"ext4", b"rw", False),
        (b"autofs", b"rw", False),
    ],
)
def test_what_may_wait_for_a_server_is_asked_first(kind: bytes, options: bytes, needs: bool) -> None:
    assert needs_a_server(mounts(b"30 27 0:30 / /srv/x rw - %s src %s" % (kind, options))[1]) is needs


def test_a_path_has_the_names_that_bind_mounts_give_it() -> None:
    found = mounts(b"30 27 254:0 /srv/real /mnt rw - ext4 /dev/vda rw", b"31 27 0:9 / /opt rw - tmpfs t rw")
    assert reachable_names(b"/srv/real/x", b"/", found) == (b"/srv/real/x", b"/mnt/x")
    assert reachable_names(b"/mnt", b"/mnt", found) == (b"/mnt", b"/srv/real")
    assert reachable_names(b"/srv/other", b"/", found) == (b"/srv/other",)
    assert reachable_names(b"/opt/x", b"/opt", found) == (b"/opt/x",)


def test_a_name_that_another_mount_hides_is_no_name() -> None:
    found = mounts(b"30 27 254:0 /srv /mnt rw - ext4 /dev/vda rw", b"31 30 0:9 / /mnt/real rw - tmpfs t rw")
    assert reachable_names(b"/srv/real/x", b"/", found) == (b"/srv/real/x",)


def test_what_another_mount_hides_has_only_the_name_that_leads_past_it() -> None:
    found = mounts(b"30 27 254:0 / /mnt rw - ext4 /dev/vda rw", b"31 27 0:9 / /srv rw - tmpfs t rw")
    assert reachable_names(b"/srv/x", b"/", found) == (b"/mnt/srv/x",)
    assert reachable_names(b"/srv/x", b"/srv", found) == (b"/srv/x",)


def test_what_is_bound_though_its_own_name_is_gone_is_no_part_of_another_mount() -> None:
    found = mounts(b"30 27 254:0 /a//deleted /mnt rw - ext4 /dev/vda rw")
    assert plan_mounts(found, frozenset()).mounts[1].cover is Cover.OVERLAY
    assert reachable_names(b"/mnt/x", b"/mnt", found) == (b"/mnt/x",)


def test_a_dev_that_is_no_mount_of_its_own_has_the_names_of_the_file_system_it_lies_on() -> None:
    assert reachable_names(b"/dev/null", b"/dev", mounts()) == (b"/dev/null",)
    jail = mounts(b"30 27 254:0 /dev /srv/jail/dev rw - ext4 /dev/vda rw")
    assert reachable_names(b"/dev/null", b"/dev", jail) == (b"/dev/null", b"/srv/jail/dev/null")
    own = mounts(b"30 27 0:6 / /dev rw - devtmpfs d rw", b"31 27 0:6 / /srv/jail/dev rw - devtmpfs d rw")
    assert reachable_names(b"/dev/null", b"/dev", own) == (b"/dev/null", b"/srv/jail/dev/null")


def test_a_view_of_the_systems_own_directories_gives_a_change_no_name_to_be_judged_by() -> None:
    jail = mounts(b"30 27 254:0 /var /home/anna/v rw - ext4 /dev/vda rw")
    assert reachable_names(b"/var/lib/dpkg/status", b"/", jail) == (b"/var/lib/dpkg/status",)
    backup = mounts(b"30 27 254:0 / /mnt/root rw - ext4 /dev/vda rw")
    assert reachable_names(b"/home/anna/x", b"/", backup) == (b"/home/anna/x",)


def test_a_disk_whose_directory_stands_on_var_is_judged_by_the_name_of_var() -> None:
    found = mounts(
        b"30 27 8:1 / /mnt rw - ext4 /dev/sda1 rw",
        b"31 27 8:1 /var /var rw - ext4 /dev/sda1 rw",
        b"32 27 8:1 / /home/anna/all rw - ext4 /dev/sda1 rw",
    )
    assert reachable_names(b"/mnt/var/log/x", b"/mnt", found) == (b"/var/log/x",)
    assert reachable_names(b"/mnt/photos/x", b"/mnt", found)[0] == b"/mnt/photos/x"


def test_a_place_of_somebodys_is_judged_by_all_its_names() -> None:
    found = mounts(
        b"30 27 254:0 /srv/share /var/lib/app/share rw - ext4 /dev/vda rw",
        b"31 27 8:1 / /data rw - ext4 /dev/sda1 rw",
        b"32 27 8:1 /pg /var/lib/postgresql rw - ext4 /dev/sda1 rw",
    )
    assert set(reachable_names(b"/srv/share/x", b"/", found)) == {b"/srv/share/x", b"/var/lib/app/share/x"}
    assert set(reachable_names(b"/data/pg/x", b"/data", found)) == {b"/data/pg/x", b"/var/lib/postgresql/x"}


@pytest.mark.parametrize(
    ("path", "layer", "lines", "view"),
    [
        (
            b"/data/logs/app/x",
            b"/data",
            (b"30 27 8:1 / /data rw - ext4 /dev/sda1 rw", b"31 27 8:1 /logs /var/log rw - ext4 /dev/sda1 rw"),
            ViewName(b"/data/logs/app/x", b"/data/logs"),
        ),
        (
            b"/var/lib/x",
            b"/",
            (b"30 27 254:0 /var /home/anna/v rw - ext4 /dev/vda rw",),
            ViewName(b"/home/anna/v/lib/x", b"/home/anna/v"),
        ),
        (
            b"/home/anna/x",
            b"/",
            (b"30 27 254:0 / /mnt/root rw - ext4 /dev/vda rw",),
            ViewName(b"/mnt/root/home/anna/x", b"/mnt/root"),
        ),
    ],
)
def test_the_name_through_a_view_is_known_with_the_directory_that_has_both(
    path: bytes, layer: bytes, lines: tuple[bytes, ...], view: ViewName
) -> None:
    assert mount_plan.reachable_names(path, layer, mounts(*lines))[1] == (view,)


TMP = b"30 27 0:30 / /tmp rw - tmpfs tmpfs rw"
HOME = b"31 27 254:1 / /home rw - ext4 /dev/vdb rw"


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ((TMP, HOME), True),
        ((HOME, TMP), True),
        ((TMP, HOME, b"40 27 254:0 /usr /usr ro - ext4 /dev/vda rw"), True),  # ProtectSystem=
        ((TMP, HOME.replace(b"rw", b"ro")), True),
        ((TMP, b"31 27 254:1 / /home rw - ext4 /dev/vdb rw", b"41 31 254:1 /a /home/a rw - ext4 x rw"), True),
        ((TMP, HOME, b"42 27 0:50 / /proc rw - proc proc rw"), True),
        ((TMP,), False),
        ((TMP, HOME, b"43 31 254:1 /b /home/a rw - ext4 /dev/vdb rw"), False),
        ((b"44 27 0:30 /private/tmp /tmp rw - tmpfs tmpfs rw", HOME), False),  # PrivateTmp=
        ((TMP, HOME, b"45 27 254:0 /usr/local /usr rw - ext4 /dev/vda rw"), False),
        ((TMP, HOME, b"46 31 0:60 / /home/a rw - tmpfs tmpfs rw"), False),
    ],
)
def test_two_mount_namespaces_have_the_same_files_where_each_path_leads_to_the_same_one(
    others: tuple[bytes, ...], same: bool
) -> None:
    assert lead_to_the_same_files(mounts(TMP, HOME), mounts(*others)) is same
    assert lead_to_the_same_files(mounts(*others), mounts(TMP, HOME)) is same
