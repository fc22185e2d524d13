# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls of storage tools mean: which only ask, which destroy, and what cannot be told."""

from __future__ import annotations

import pytest

from aptguard.rehearsal.storage_call import Meaning, Places, Reading
from aptguard.rehearsal.storage_calls import STORAGE_PROGRAMS, read_call


def read(call: str, places: Places | None = None, directory: bytes = b"/") -> Reading:
    name, *arguments = [b"" if word == "''" else word.encode() for word in call.split()]
    reading = read_call(name, arguments, directory, places)
    assert reading is not None
    return reading


DESTROYING = """
btrfs subvolume delete /srv/data                    /srv/data
btrfs sub del -c /srv/a /srv/b                      /srv/a /srv/b
btrfs -q subvolume delete -i 257 /srv               /srv
btrfs device add -f /dev/sdb /srv                   /dev/sdb
btrfs replace start 1 /dev/sdc /srv                 /dev/sdc
zfs destroy -r tank/data                            tank/data
zfs rollback tank/data@old                          tank/data@old
zpool destroy -f tank                               tank
zpool labelclear /dev/sdb                           /dev/sdb
lvremove -f vg/data                                 /dev/vg/data
lvremove -ff /dev/vg/data                           /dev/vg/data
lvm lvremove -y vg/data                             /dev/vg/data
lvm vgremove vg                                     /dev/vg
pvcreate -ff /dev/sdb                               /dev/sdb
dmsetup remove --force data                         /dev/mapper/data
dmsetup --retry remove data                         /dev/mapper/data
dmsetup remove_all                                  /dev/mapper
cryptsetup luksErase /dev/sdb                       /dev/sdb
cryptsetup --key-file k erase /dev/sdb              /dev/sdb
cryptsetup luksFormat --type luks2 /dev/sdb         /dev/sdb
mdadm --zero-superblock /dev/sdb1                   /dev/sdb1
mdadm --create /dev/md0 -n 2 /dev/sdb /dev/sdc      /dev/md0 /dev/sdb /dev/sdc
mkfs.ext4 -F -L data /dev/sdb                       /dev/sdb
mkfs -t xfs /dev/sdb                                /dev/sdb
mkfs.vfat -n NAME /dev/sdb1                         /dev/sdb1
mkswap /dev/sdb2                                    /dev/sdb2
dd if=/dev/zero of=/dev/sda bs=1M                   /dev/sda
dd if=image of=/dev/disk/by-id/x                    /dev/disk/by-id/x
dd if=image of=/dev/../dev//sda                     /dev/sda
shred -n 1 /dev/sda                                 /dev/sda
wipefs -af /dev/sda                                 /dev/sda
blkdiscard /dev/nvme0n1                             /dev/nvme0n1
sgdisk --zap-all /dev/sda                           /dev/sda
sgdisk -Z /dev/sda                                  /dev/sda
sfdisk --delete /dev/sda                            /dev/sda
sfdisk /dev/sda                                     /dev/sda
parted -s -a optimal /dev/sda mklabel gpt print     /dev/sda
nvme format /dev/nvme0                              /dev/nvme0
hdparm --security-erase secret /dev/sda             /dev/sda
badblocks -wsv /dev/sda                             /dev/sda
flash_erase /dev/mtd0 0 0                           /dev/mtd0
""".strip().splitlines()


@pytest.mark.parametrize("line", DESTROYING)
def test_a_call_that_destroys_is_told_with_what_it_destroys(line: str) -> None:
    call, _, targets = line.rpartition("   ")
    expected = tuple(word.encode() for word in targets.split())
    assert read(call) == Reading(Meaning.DESTROYS, expected)


ASKING = """
btrfs filesystem show
btrfs fi usage /
btrfs subvolume list -o /
btrfs subvolume show /srv
btrfs device stats /
btrfs property get / ro
btrfs --format json subvolume list /
btrfs check --readonly /dev/sdb
btrfs --version
zfs list -H -o name
zfs get -H mounted tank
zfs destroy -nv tank/data
zfs mount
zpool status
zpool list
zpool import
lvs --noheadings
lvm vgs
vgcfgbackup
pvscan --cache
lvremove --test vg/data
dmsetup ls
dmsetup table --target crypt
dmsetup info -c
dmsetup
cryptsetup status data
cryptsetup isLuks /dev/sda1
cryptsetup luksDump /dev/sda1
mdadm --detail --scan
mdadm --examine --scan --config=partitions
mdadm -D /dev/md0
mdadm --version
losetup -a
losetup -l
losetup -j /srv/image
losetup /dev/loop0
losetup -f
mkfs.ext4 -n /dev/sdb
mkfs.ext4 -q /var/tmp/image
mkswap /swapfile
dd if=/dev/urandom of=/etc/key bs=32 count=1
dd if=/dev/sda bs=512 count=1
dd if=/dev/zero of=/dev/null
dd of=/dev/stdout
shred -u /etc/key
wipefs /dev/sda
wipefs -n -a /dev/sda
sgdisk -p /dev/sda
sfdisk -d /dev/sda
fdisk -l /dev/sda
parted -s /dev/sda unit s print
parted -l
tune2fs -l /dev/sda1
tune2fs -c 0 /var/tmp/image
xfs_admin -l /dev/sda1
e2label /dev/sda1
hdparm -I /dev/sda
badblocks /dev/sda
""".strip().splitlines()


@pytest.mark.parametrize("call", ASKING)
def test_a_call_that_asks_or_writes_to_a_file_is_silent(call: str) -> None:
    assert read(call).meaning is Meaning.ASKS


UNCLEAR = """
losetup -d /dev/loop3
losetup -D
cryptsetup close data
mdadm --stop /dev/md0
vgchange -an
vgchange -a n vg
lvchange --activate n vg/data
zpool export tank
zfs unmount -a
tune2fs -O ^has_journal /dev/sda1
xfs_admin -U generate /dev/sda1
resize2fs /dev/sda1 1G
btrfs device remove /dev/sdb /
btrfs check --repair /dev/sdb
lvm
lvremove -f ''
lvremove -f
zfs destroy -r ''
zfs destroy
btrfs subvolume delete ''
btrfs subvolume delete
mkfs.ext4 ''
dd if=image of=
dmsetup remove
mdadm --zero-superblock
""".strip().splitlines()


@pytest.mark.parametrize("call", UNCLEAR)
def test_what_is_taken_away_or_whose_target_is_missing_here_is_not_clear(call: str) -> None:
    assert read(call).meaning is Meaning.UNCLEAR


@pytest.mark.parametrize(
    "call",
    [
        "fstrim -a",
        "btrfs subvolume create /srv/new",
        "lvcreate -n new vg",
        "zfs create tank/new",
        "mdadm --assemble --scan -f",
        "losetup -f --show image",
        "dmsetup create x",
        "cryptsetup open /dev/sda1 x",
    ],
)
def test_what_takes_nothing_away_is_told_and_no_more(call: str) -> None:
    assert read(call).meaning is Meaning.ACTS


class NoFiles(Places):
    def is_file(self, _path: bytes) -> bool:
        return False


class Elsewhere(Places):
    def real(self, path: bytes) -> bytes:
        return b"/dev/sdb" if path == b"/srv/disk" else path

    def may_be_subvolume(self, path: bytes) -> bool:
        return path == b"/srv/subvolume"


def test_a_maker_without_a_device_and_without_a_file_lacks_what_the_machine_would_give_it() -> None:
    assert read("mkfs.ext4 -L data", NoFiles()).meaning is Meaning.UNCLEAR


def test_a_link_to_a_disk_is_the_disk() -> None:
    for call in ("dd of=/srv/disk", "dd of=disk", "mkfs.ext4 disk", "shred ../srv/disk"):
        assert read(call, Elsewhere(), b"/srv") == Reading(Meaning.DESTROYS, (b"/dev/sdb",))


def test_only_where_a_subvolume_may_stand_does_its_deletion_destroy() -> None:
    both = read("btrfs subvolume delete /srv/subvolume /srv/directory", Elsewhere())
    assert both == Reading(Meaning.DESTROYS, (b"/srv/subvolume",))
    assert read("btrfs subvolume delete directory", Elsewhere(), b"/srv").meaning is Meaning.ACTS
    assert read("btrfs subvolume delete subvolume", Elsewhere(), b"/srv").meaning is Meaning.DESTROYS


@pytest.mark.parametrize("program", STORAGE_PROGRAMS)
def test_asking_for_help_is_silent_and_no_words_destroy_nothing(program: bytes) -> None:
    for word in (b"--help", b"--version"):
        assert read_call(program, [word]) == Reading(Meaning.ASKS)
    nothing = read_call(program, [])
    assert nothing is not None and nothing.meaning is not Meaning.DESTROYS


def test_another_program_is_not_read() -> None:
    assert read_call(b"systemctl", [b"stop", b"x"]) is None
