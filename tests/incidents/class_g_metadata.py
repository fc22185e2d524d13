# SPDX-License-Identifier: GPL-3.0-or-later
"""Class G: no name changes; owners, modes, setuid bits and capabilities do."""

from __future__ import annotations

from incidents.incident import EVERYTHING, Incident, Told, Toy, install


def _installing(name: str, source: str, postinst: str, *told: Told, **more: object) -> Incident:
    toy = Toy("npm-toy", files={"/usr/share/npm-toy/bin/tool": "x\n"}, scripts={"postinst": postinst})
    return Incident(name, source, install(toy), present=(toy,), told=told, **more)  # type: ignore[arg-type]


UID = Toy(
    "vaultenv", files={"/etc/vaultenv/vaultenv.conf": "x\n", "/usr/bin/vaultenv": "x\n"}, owner=(1000, 1000)
)
PERMS = Toy(
    "akbl",
    files={"/usr/lib/akbl/tree/usr/lib/akbl.so": "x\n", "/usr/lib/akbl/tree/usr/": ""},
    scripts={"postinst": "chmod 700 /usr/lib/akbl/tree/usr; cp -a /usr/lib/akbl/tree/. /"},
)

INCIDENTS = (
    _installing(
        "the directories above the program are given to another account",
        "G1 npm-570-chown",
        "chown -R games /etc /usr/share",
        Told("foreign-file", script="postinst configure"),
        Told("account-files", path="/etc/shadow"),
        also=EVERYTHING,
    ),
    _installing(
        "all programs lose the bit that lets them act as root",
        "G2 npm-usr-bin-suid",
        "chown root:root /usr/bin/*",
        Told("foreign-file", path="/usr/bin/passwd", script="postinst configure"),
        also=frozenset({"unowned-file"}),
    ),
    _installing(
        "one program loses the capability that lets it work without root",
        "G2 npm-usr-bin-suid",
        'python3 -c \'import os; os.removexattr("/usr/bin/ping-toy", "security.capability")\'',
        Told("foreign-file", path="/usr/bin/ping-toy", script="postinst configure"),
        installed=(Toy("ping-toy", files={"/usr/bin/ping-toy": "x\n"}, modes={"/usr/bin/ping-toy": 0o755}),),
        # struct vfs_cap_data, revision 2: CAP_NET_RAW permitted and effective
        precondition='python3 -c \'import os, struct; os.setxattr("/usr/bin/ping-toy", "security.capability", '
        'struct.pack("<IIIII", 0x2000001, 1 << 13, 0, 0, 0))\'',
    ),
    Incident(
        "the mode of a directory above the payload is copied over the system's",
        "G3 akbl-perms",
        install(PERMS),
        present=(PERMS,),
        told=(Told("top-level-directory", path="/usr", script="postinst configure"),),
    ),
    _installing(
        "the parent of the chosen directory is opened to everybody",
        "G4 engauge-installer",
        "chmod -R 777 /home/alice",
        Told("home-directories", path="/home/alice", script="postinst configure"),
        precondition="useradd --create-home --uid 1000 alice",
        also=frozenset({"ssh-keys"}),
    ),
    Incident(
        "the package's files come with the number of the account that built it, which is a person's here",
        "G5 vaultenv-uid",
        install(UID),
        present=(UID,),
        precondition="useradd --create-home --uid 1000 alice",
        told=(Told("foreign-owner", path="/etc/vaultenv"),),
    ),
    _installing(
        "a recursive chmod of a program's own tree reaches a protected key of the superuser",
        "G6 ossec",
        "chmod -R go+r /root",
        Told("ssh-keys", path="/root/.ssh/id_ed25519", script="postinst configure"),
        precondition="mkdir -p /root/.ssh; echo key > /root/.ssh/id_ed25519; chmod 600 /root/.ssh/id_ed25519",
        also=frozenset({"home-directories", "top-level-directory", "foreign-file"}),
    ),
)
