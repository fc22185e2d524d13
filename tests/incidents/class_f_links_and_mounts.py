# SPDX-License-Identifier: GPL-3.0-or-later
"""Class F: links and mounts carry the damage to another place than the one that is named."""

from __future__ import annotations

from incidents.incident import Incident, Told, Toy, install, purge, remove


def _toy(name: str, *directories: str, **scripts: str) -> Toy:
    files = {f"/usr/share/{name}/README": "x\n", **{f"{directory}/": "" for directory in directories}}
    return Toy(name, files=files, scripts=scripts)


SWUPD_OLD = Toy("headers", "1.0", files={"/usr/include/headers/deep.h": "old\n"})
SWUPD_NEW = Toy(
    "headers",
    "2.0",
    files={"/usr/share/headers/README": "x\n"},
    scripts={
        "preinst": "rm -rf /usr/include/headers && ln -s other-headers /usr/include/headers",
    },
)
OSSEC = Toy(
    "osse",
    "2.0",
    files={"/usr/share/osse/README": "x\n"},
    scripts={"postinst": "chmod -R 550 /var/osse"},
)
IRODS = _toy("irodes", postinst="chown -R games /var/lib/irodes/")
MUSIC = _toy("navidrome", postinst="find /var/lib/navidrome -user root -exec chown games {} +")

INCIDENTS = (
    Incident(
        "an uninstaller walks into a volume of the network that is still mounted",
        "F1 k3s-uninstall-ceph",
        remove("k3"),
        installed=(
            _toy("k3", prerm="umount /var/lib/kubelet/other 2> /dev/null || true; rm -rf /var/lib/kubelet"),
        ),
        precondition="mkdir -p /var/lib/kubelet/pods/1/volume; mount -t tmpfs ceph /var/lib/kubelet/pods/1/volume; "
        "echo data > /var/lib/kubelet/pods/1/volume/table",
        told=(
            Told(
                "containers-and-machines", path="/var/lib/kubelet/pods/1/volume/table", script="prerm remove"
            ),
        ),
        kept=("/var/lib/kubelet/pods/1/volume/table",),
    ),
    Incident(
        "the purge of its own state walks into a directory of shares that is mounted in it",
        "F2 rke2-uninstall-smb",
        purge("rke"),
        installed=(
            _toy("rke", "/var/lib/rke", postrm='case "$1" in purge) rm -rf /var/lib/rke || true ;; esac'),
        ),
        precondition="mkdir -p /srv/share /var/lib/rke/share; echo plan > /srv/share/plan.odt; "
        "mount --bind /srv/share /var/lib/rke/share",
        told=(Told("local-data", path="/srv/share/plan.odt", script="postrm purge"),),
        also=frozenset({"mounted-data"}),
        kept=("/srv/share/plan.odt", "/var/lib/rke/share/plan.odt"),
    ),
    Incident(
        "the purge of its own state walks into a disk that the administrator has mounted in it",
        "F3 kubeadm-reset",
        purge("rke"),
        installed=(
            _toy(
                "rke",
                "/var/lib/rke",
                postrm='case "$1" in purge) umount /var/lib/rke/x || true; rm -rf /var/lib/rke || true ;; esac',
            ),
        ),
        precondition="mkdir -p /var/lib/rke/volume; mount -t tmpfs disk /var/lib/rke/volume; "
        "echo data > /var/lib/rke/volume/table",
        told=(Told("mounted-data", path="/var/lib/rke/volume/table", script="postrm purge"),),
        kept=("/var/lib/rke/volume/table",),
    ),
    Incident(
        "modes are changed through a hard link, and the system's library is the same file",
        "F4 ossec-hardlinks",
        install(OSSEC),
        installed=(
            Toy("osse", "1.0", files={"/usr/share/osse/README": "x\n"}),
            Toy("libresolve2", files={"/usr/lib/libresolve.so.2": "x\n"}),
        ),
        present=(OSSEC,),
        precondition="mkdir -p /var/osse/lib; ln /usr/lib/libresolve.so.2 /var/osse/lib/",
        told=(Told("foreign-file", path="/usr/lib/libresolve.so.2", script="postinst configure"),),
        also=frozenset({"unowned-file"}),
        kept=("/usr/lib/libresolve.so.2",),
    ),
    Incident(
        "a directory becomes a link, and the list of the old version deletes through it",
        "F6 swupd-dir-to-symlink",
        install(SWUPD_NEW),
        installed=(SWUPD_OLD, Toy("other-headers", files={"/usr/include/other-headers/deep.h": "other\n"})),
        present=(SWUPD_NEW,),
        told=(Told("foreign-file", path="/usr/include/other-headers/deep.h"),),
        kept=("/usr/include/other-headers/deep.h",),
    ),
    Incident(
        "a mount point is unmounted and deleted with all that it holds",
        "F7 omv-fstab-rm",
        remove("vault-engine"),
        installed=(
            _toy(
                "vault-engine",
                prerm="umount /srv/dev-disk 2> /dev/null || true; rm -rf /srv/dev-disk || true",
            ),
        ),
        precondition="mkdir -p /srv/dev-disk; echo hidden > /srv/dev-disk/hidden; "
        "mount -t tmpfs disk /srv/dev-disk; echo seen > /srv/dev-disk/seen",
        told=(Told("local-data", path="/srv/dev-disk/seen", script="prerm remove"),),
        also=frozenset({"attempt"}),
        kept=("/srv/dev-disk/seen",),
    ),
    Incident(
        "a slash at the end makes chown follow the administrator's link",
        "F8 irods-symlinked-home",
        install(IRODS),
        present=(IRODS,),
        precondition="mkdir -p /srv/vault; echo data > /srv/vault/data; ln -s /srv/vault /var/lib/irodes",
        told=(Told("local-data", path="/srv/vault/data", script="postinst configure"),),
        kept=("/srv/vault/data",),
    ),
    Incident(
        "chown tests the link and changes what it leads to",
        "F9 navidrome-chown-deref",
        install(MUSIC),
        present=(MUSIC,),
        precondition="mkdir -p /srv/music /var/lib/navidrome; ln -s /srv/music /var/lib/navidrome/music",
        told=(Told("local-data", path="/srv/music", script="postinst configure"),),
    ),
    Incident(
        "the purge fails because rmdir meets a link of the administrator, and harms nothing",
        "F10 php-etc-symlink",
        purge("phpx"),
        verdict="unknown",
        installed=(
            Toy(
                "phpx",
                files={"/etc/phpx.conf": "x\n"},
                scripts={
                    "postinst": "[ -e /etc/phpx.d ] || mkdir /etc/phpx.d",
                    "postrm": 'case "$1" in purge) rmdir /etc/phpx.d ;; esac',
                },
            ),
        ),
        precondition="mv /etc/phpx.d /srv/phpx; ln -s /srv/phpx /etc/phpx.d",
        kept=("/etc/phpx.d", "/srv/phpx"),
    ),
    Incident(
        "the boot loaders of other systems on the firmware's partition are deleted",
        "F11 efivarfs",
        purge("boot-cleaner"),
        installed=(_toy("boot-cleaner", postrm='case "$1" in purge) rm -rf /boot/efi/EFI/* ;; esac'),),
        precondition="mkdir -p /boot/efi/EFI/other; echo x > /boot/efi/EFI/other/loader.efi",
        told=(Told("efi-boot-loaders", path="/boot/efi/EFI/other/loader.efi", script="postrm purge"),),
        kept=("/boot/efi/EFI/other/loader.efi",),
    ),
    Incident(
        "data that landed in a directory of the package goes at its next removal",
        "F13 typedb-data-symlink",
        remove("typed"),
        installed=(_toy("typed", "/opt/typed/server/data", prerm="rm -rf /opt/typed"),),
        precondition="echo rows > /opt/typed/server/data/rows",
        told=(Told("remove-deletes-data", path="/opt/typed/server/data/rows", script="prerm remove"),),
        also=frozenset({"top-level-directory"}),
        kept=("/opt/typed/server/data/rows",),
    ),
)
