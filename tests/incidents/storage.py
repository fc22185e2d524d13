# SPDX-License-Identifier: GPL-3.0-or-later
"""Class I: disks, volumes and file systems that a script destroys; here each call fails, and hides that."""

from __future__ import annotations

from collections.abc import Mapping

from incidents.incident import Incident, Told, Toy, harmless, install, purge, remove


def _tools(*names: str) -> Toy:
    """Tools of storage that fail, as all do where there is none."""
    files: Mapping[str, str] = {f"/usr/sbin/{name}": "#!/bin/sh\nexit 1\n" for name in names}
    return Toy("storage-tools", files=files, modes=dict.fromkeys(files, 0o755))


def _toy(name: str, **scripts: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n"}, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


FLASHER = _toy("flasher", postinst="dd if=/usr/share/flasher/README of=/dev/vda 2> /dev/null || true")
REDIRECTING = _toy("boot-writer", postinst="mkfs.ext4 -q /dev/vda3 > /dev/null 2>&1 || true")
CAREFUL = _toy(
    "careful",
    postinst="""
        mdadm --detail --scan || true; mdadm --examine --scan --config=partitions || true
        lvs || true; vgs --noheadings || true; dmsetup ls || true; dmsetup table --target crypt || true
        cryptsetup isLuks /dev/vda || true; cryptsetup status x || true
        btrfs filesystem show || true; btrfs subvolume list / || true; zfs list -H || true; zpool status || true
        losetup -a > /dev/null || true; tune2fs -l /dev/vda1 2> /dev/null || true
    """,
)
SWAPPER = _toy(
    "swapper",
    postinst="dd if=/dev/zero of=/var/swap bs=64k count=16 2> /dev/null; mkswap /var/swap > /dev/null",
)

INCIDENTS = (
    Incident(
        "the removal destroys a logical volume and hides that it could not",
        "I volume-removed",
        remove("lv-cache"),
        installed=(_tools("lvremove"), _toy("lv-cache", prerm="lvremove -f vg/data 2> /dev/null || true")),
        told=(Told("attempt", path="/dev/vg/data", script="prerm remove"),),
        effects=("destruction: would run lvremove -f vg/data",),
        kept=("/usr/share/lv-cache/README",),
    ),
    Incident(
        "the purge destroys a data set with all that is below it",
        "I data-set-destroyed",
        purge("zfs-jail"),
        installed=(
            _tools("zfs"),
            _toy("zfs-jail", postrm=_on("purge", "zfs destroy -r tank/jails > /dev/null 2>&1 || true")),
        ),
        told=(Told("attempt", script="postrm"),),
        effects=("destruction: would run zfs destroy -r tank/jails",),
        kept=("/usr/share/zfs-jail/README",),
    ),
    Incident(
        "the installation writes over the first disk by its name",
        "I disk-overwritten",
        install(FLASHER),
        present=(FLASHER,),
        told=(Told("attempt", path="/dev/vda", script="postinst configure"),),
    ),
    Incident(
        "the installation makes a file system where another one may be",
        "I file-system-made",
        install(REDIRECTING),
        installed=(_tools("mkfs.ext4"),),
        present=(REDIRECTING,),
        told=(Told("attempt", path="/dev/vda3", script="postinst configure"),),
    ),
    Incident(
        "the purge destroys what its list of volumes, which is empty here, would have named",
        "I volume-removed",
        purge("thin-pool"),
        verdict="unknown",
        installed=(
            _tools("lvs", "lvremove"),
            _toy("thin-pool", postrm=_on("purge", "lvremove -f $(lvs -o name -S tags=thin) || true")),
        ),
        kept=("/usr/share/thin-pool/README",),
    ),
    Incident(
        "the removal takes away a mapping under which somebody has a disk open",
        "I mapping-removed",
        remove("mapper"),
        installed=(_tools("dmsetup"), _toy("mapper", prerm="dmsetup remove -f data > /dev/null || true")),
        told=(Told("attempt", path="/dev/mapper/data", script="prerm remove"),),
        kept=("/usr/share/mapper/README",),
    ),
    Incident(
        "the removal detaches a loop device, and what follows from that is not seen",
        "I loop-detached",
        remove("looper"),
        verdict="unknown",
        installed=(_toy("looper", prerm="losetup -d /dev/loop7 2> /dev/null || true"),),
        effects=("unclear: would run losetup -d /dev/loop7",),
        kept=("/usr/share/looper/README",),
    ),
    harmless(
        "an installation that asks all tools of storage what there is raises no alarm",
        install(CAREFUL),
        installed=(
            _tools("mdadm", "lvs", "vgs", "dmsetup", "cryptsetup", "btrfs", "zfs", "zpool", "tune2fs"),
        ),
        present=(CAREFUL,),
        made=("/usr/share/careful/README",),
    ),
    harmless(
        "an installation that makes a file to swap to raises no alarm",
        install(SWAPPER),
        present=(SWAPPER,),
        made=("/var/swap",),
    ),
    harmless(
        "the purge deletes its own directory, as a subvolume where it is one",
        purge("pool-keeper"),
        installed=(
            _tools("btrfs"),
            _toy(
                "pool-keeper",
                postinst="mkdir -p /var/lib/pool-keeper/pool; echo x > /var/lib/pool-keeper/pool/x",
                postrm=_on(
                    "purge",
                    "btrfs subvolume delete /var/lib/pool-keeper/pool 2> /dev/null || "
                    "rm -rf /var/lib/pool-keeper/pool; rmdir /var/lib/pool-keeper",
                ),
            ),
        ),
        gone=("/var/lib/pool-keeper/pool/x",),
    ),
)
