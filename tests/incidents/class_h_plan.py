# SPDX-License-Identifier: GPL-3.0-or-later
"""Class H: the plan itself takes away what the machine needs."""

from __future__ import annotations

import os

from incidents.incident import Incident, Told, Toy, install, remove

KERNEL = f"linux-image-{os.uname().release}"


def _toy(name: str, **fields: str) -> Toy:
    return Toy(name, files={f"/usr/share/{name}/README": "x\n"}, fields=fields)


STEAM = _toy("steamy", Conflicts="pop-session")
SESSION = _toy("pop-session")
DESKTOP = Toy("gnome-session", files={"/usr/share/gs/README": "x\n"}, depends="pop-session")
SFTP = _toy("openssh-sftp-servers", Conflicts="openssh-server")
VERA = _toy("veracrypt", Conflicts="sudo")
SUDO = Toy(
    "sudo",
    files={"/usr/bin/sudo": "x\n"},
    scripts={
        "prerm": 'if [ "$1" = remove ] && [ -z "$SUDO_FORCE_REMOVE" ]; then echo "no root password"; exit 1; fi'
    },
)
OFFICE = tuple(_toy(f"office-part{number:02}") for number in range(21))
CLIPART = _toy("openclipart", Conflicts=", ".join(toy.name for toy in OFFICE))
GRUB_TOOLS = _toy("grub-tools-extra")
GRUB = Toy("grub-pc", files={"/usr/share/grub-pc/README": "x\n"}, depends="grub-tools-extra")
PANEL = Toy("network-manager", files={"/usr/share/nm/README": "x\n"})
GNOME_NEW = Toy("gnome-shelly", "3.0", files={"/usr/share/gnome-shelly/shell": "new\n"})
GNOME_OLD = Toy(
    "gnome-shelly",
    "2.0",
    files={"/usr/share/gnome-shelly/shell": "old\n"},
    scripts={"postinst": "rm -rf /usr/local/lib/extensions; exit 1"},
)
PARTMAN = Toy(
    "partman",
    files={"/usr/share/partman/README": "x\n"},
    scripts={"preinst": "for d in /usr/src /usr/local; do rm -rf $d/*; done"},
)

INCIDENTS = (
    Incident(
        "a game takes the place of the package that holds the desktop together",
        "H1 pop-steam",
        install(STEAM),
        installed=(SESSION, DESKTOP),
        present=(STEAM,),
        told=(Told("desktop", package="gnome-session"),),
    ),
    Incident(
        "a program that asks apt for libraries removes the running kernel",
        "H2 steam-debian10",
        install(_toy("steam-libs", Conflicts=KERNEL)),
        installed=(Toy(KERNEL, files={f"/usr/share/doc/{KERNEL}/README": "x\n"}),),
        present=(_toy("steam-libs", Conflicts=KERNEL),),
        told=(Told("protected-package", package=KERNEL), Told("kernel", package=KERNEL)),
    ),
    Incident(
        "a part of the secure shell removes the server by which the administrator is here",
        "H3 sftp-server-removes-sshd",
        install(SFTP),
        installed=(Toy("openssh-server", "1:99", files={"/usr/share/sshd/README": "x\n"}),),
        present=(SFTP,),
        told=(Told("secure-shell", package="openssh-server"),),
    ),
    Incident(
        "an installation removes sudo, whose own script would refuse",
        "H4 veracrypt-removes-sudo",
        install(VERA),
        installed=(SUDO,),
        present=(VERA,),
        told=(Told("superuser", package="sudo"),),
        kept=("/usr/bin/sudo",),
    ),
    Incident(
        "a collection of pictures removes a whole office suite",
        "H5 openclipart-ooo",
        install(CLIPART),
        installed=OFFICE,
        present=(CLIPART,),
        told=(Told("mass-removal"),),
    ),
    Incident(
        "the removal of an extra tool takes the boot loader along",
        "H6 yum-grub2",
        remove("grub-tools-extra"),
        installed=(GRUB_TOOLS, GRUB),
        told=(Told("boot-loader", package="grub-pc"),),
    ),
    Incident(
        "the removal of what is no longer needed takes the network along",
        "H7 autoremove-desktop",
        "apt-get -y autoremove",
        installed=(PANEL,),
        precondition="apt-mark auto network-manager",
        told=(Told("network", package="network-manager"),),
    ),
    Incident(
        "a downgrade that fails half-way has destroyed something before",
        "H9 ppa-purge",
        install(GNOME_OLD),
        installed=(GNOME_NEW,),
        present=(GNOME_OLD,),
        precondition="mkdir -p /usr/local/lib/extensions && echo mine > /usr/local/lib/extensions/mine.js",
        told=(Told("local-data", path="/usr/local/lib/extensions/mine.js", script="postinst configure"),),
        kept=("/usr/local/lib/extensions/mine.js",),
    ),
    Incident(
        "a list of directories to clear is too wide",
        "H10 partman-clear",
        install(PARTMAN),
        present=(PARTMAN,),
        precondition="echo mine > /usr/local/bin/mine; mkdir -p /usr/src/driver; echo x > /usr/src/driver/Makefile",
        told=(
            Told("local-data", path="/usr/local/bin/mine", script="preinst install"),
            Told("unowned-file", path="/usr/src/driver/Makefile"),
        ),
        also=frozenset({"foreign-file"}),
        kept=("/usr/local/bin/mine", "/usr/src/driver/Makefile"),
    ),
    Incident(
        "an essential package is removed with the phrase that apt asks for",
        "H2 steam-debian10",
        "apt-get -y --allow-remove-essential remove vital",
        installed=(_toy("vital", Essential="yes"),),
        told=(Told("protected-package", package="vital"),),
    ),
    Incident(
        "a protected package is removed by plain dpkg with force",
        "H6 yum-grub2",
        "dpkg --force-remove-protected -r boot-helper",
        installed=(_toy("boot-helper", Protected="yes"),),
        told=(Told("protected-package", package="boot-helper"),),
    ),
)
