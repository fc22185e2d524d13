# SPDX-License-Identifier: GPL-3.0-or-later
"""Harmless: installations and upgrades that look like accidents and are none."""

from __future__ import annotations

from dataclasses import replace

from incidents.incident import Incident, Toy, harmless, install


def _upgrade(name: str, old: Toy, new: Toy, **more: object) -> Incident:
    return harmless(name, install(new), installed=(old,), present=(new,), **more)


def _toy(version: str, files: dict[str, str | bytes] | None = None, **scripts: str) -> Toy:
    return Toy("tidy", version, files={"/usr/share/tidy/README": "x\n", **(files or {})}, scripts=scripts)


MOVED_TOOL = Toy(
    "tidy-tools",
    "2.0",
    files={"/usr/bin/tidy-tool": "2\n"},
    fields={"Replaces": "tidy (<< 2.0)", "Breaks": "tidy (<< 2.0)"},
)
MOVED_CONF = Toy(
    "tidy-common",
    "2.0",
    files={"/etc/tidy/tidy.conf": "shipped\n"},
    fields={"Replaces": "tidy (<< 2.0)", "Breaks": "tidy (<< 2.0)"},
)
FIRST = _toy(
    "1.0",
    {"/usr/lib/sysusers.d/tidy.conf": 'u tidyd - "Tidy" /nonexistent\n'},
    postinst="systemd-sysusers tidy.conf; mkdir -p /var/lib/tidy /srv/tidy; chown tidyd /var/lib/tidy; echo x > /var/lib/tidy/db",
)
SAME = tuple(
    Toy(
        "libtidy",
        version,
        files={"/usr/share/doc/libtidy/copyright": "x\n", f"/usr/lib/{triplet}/libtidy.so.1": version},
        architecture=architecture,
        fields={"Multi-Arch": "same"},
    )
    for version in ("1.0", "2.0")
    for architecture, triplet in (("amd64", "x86_64-linux-gnu"), ("i386", "i386-linux-gnu"))
)

INCIDENTS = (
    _upgrade(
        "an upgrade moves the state to another directory",
        _toy("1.0", {"/var/lib/tidy/": ""}),
        _toy(
            "2.0",
            {"/var/lib/tidy2/": ""},
            preinst="mkdir -p /var/lib/tidy2; mv /var/lib/tidy/* /var/lib/tidy2/",
        ),
        precondition="mkdir /var/lib/tidy/shelf; echo rows > /var/lib/tidy/db; echo book > /var/lib/tidy/shelf/book",
        gone=("/var/lib/tidy/db",),
        made=("/var/lib/tidy2/db", "/var/lib/tidy2/shelf/book"),
    ),
    _upgrade(
        "an upgrade renames the directory of its state in one step",
        _toy("1.0"),
        _toy("2.0", preinst="mv /var/lib/tidy /var/lib/tidy-old"),
        precondition="mkdir /var/lib/tidy; echo rows > /var/lib/tidy/db",
        gone=("/var/lib/tidy/db",),
        made=("/var/lib/tidy-old/db",),
    ),
    harmless(
        "a conffile moves with its edits to the package that takes it over",
        install(MOVED_CONF, _toy("2.0")),
        installed=(_toy("1.0", {"/etc/tidy/tidy.conf": "shipped\n"}),),
        present=(MOVED_CONF, _toy("2.0")),
        precondition="echo edited >> /etc/tidy/tidy.conf",
        kept=("/etc/tidy/tidy.conf",),
    ),
    _upgrade(
        "an upgrade renames a conffile with the tool made for it",
        _toy("1.0", {"/etc/tidy.conf": "shipped\n"}),
        _toy(
            "2.0",
            {"/etc/tidy/tidy.conf": "shipped\n"},
            **dict.fromkeys(
                ("preinst", "postinst", "postrm"),
                'dpkg-maintscript-helper mv_conffile /etc/tidy.conf /etc/tidy/tidy.conf 2.0~ tidy -- "$@"',
            ),
        ),
        precondition="echo edited >> /etc/tidy.conf",
        gone=("/etc/tidy.conf",),
        made=("/etc/tidy/tidy.conf",),
    ),
    _upgrade(
        "an upgrade gives up an edited conffile with the tool made for it, and leaves a copy",
        _toy("1.0", {"/etc/tidy.conf": "shipped\n"}),
        _toy(
            "2.0",
            **dict.fromkeys(
                ("preinst", "postinst", "postrm"),
                'dpkg-maintscript-helper rm_conffile /etc/tidy.conf 2.0~ tidy -- "$@"',
            ),
        ),
        precondition="echo edited >> /etc/tidy.conf",
        gone=("/etc/tidy.conf",),
        made=("/etc/tidy.conf.dpkg-bak",),
    ),
    harmless(
        "an edited conffile is replaced because somebody told dpkg so, and dpkg leaves a copy",
        f"apt-get -y -o Dpkg::Options::=--force-confnew install {_toy('2.0', {'/etc/tidy.conf': 'new'}).archive}",
        installed=(_toy("1.0", {"/etc/tidy.conf": "shipped\n"}),),
        present=(_toy("2.0", {"/etc/tidy.conf": "new"}),),
        precondition="echo edited >> /etc/tidy.conf",
        kept=("/etc/tidy.conf",),
        made=("/etc/tidy.conf.dpkg-old",),
    ),
    harmless(
        "an edited conffile stays as it is, and the new one lies beside it",
        f"apt-get -y -o Dpkg::Options::=--force-confold install {_toy('2.0', {'/etc/tidy.conf': 'new'}).archive}",
        installed=(_toy("1.0", {"/etc/tidy.conf": "shipped\n"}),),
        present=(_toy("2.0", {"/etc/tidy.conf": "new"}),),
        precondition="echo edited >> /etc/tidy.conf",
        kept=("/etc/tidy.conf",),
        made=("/etc/tidy.conf.dpkg-dist",),
    ),
    harmless(
        "a file moves to another package that replaces and breaks the old version",
        install(MOVED_TOOL, _toy("2.0")),
        installed=(_toy("1.0", {"/usr/bin/tidy-tool": "1\n"}),),
        present=(MOVED_TOOL, _toy("2.0")),
        kept=("/usr/bin/tidy-tool",),
        made=("/var/lib/dpkg/info/tidy-tools.list",),
    ),
    harmless(
        "a package that takes another's place takes its state over",
        install(
            Toy(
                "neat",
                files={"/usr/share/neat/README": "x\n"},
                fields={"Conflicts": "tidy", "Replaces": "tidy", "Provides": "tidy"},
                scripts={"postinst": "if [ -d /var/lib/tidy ]; then mv /var/lib/tidy /var/lib/neat; fi"},
            )
        ),
        installed=(_toy("1.0"),),
        present=(
            Toy(
                "neat",
                files={"/usr/share/neat/README": "x\n"},
                fields={"Conflicts": "tidy", "Replaces": "tidy", "Provides": "tidy"},
                scripts={"postinst": "if [ -d /var/lib/tidy ]; then mv /var/lib/tidy /var/lib/neat; fi"},
            ),
        ),
        precondition="mkdir /var/lib/tidy; echo rows > /var/lib/tidy/db",
        gone=("/usr/share/tidy/README", "/var/lib/tidy/db"),
        made=("/var/lib/neat/db",),
    ),
    harmless(
        "two architectures of a library share their documents and are upgraded together",
        install(*SAME[2:]),
        installed=SAME[:2],
        present=SAME[2:],
        before="dpkg --add-architecture i386",
        kept=("/usr/share/doc/libtidy/copyright", "/usr/lib/i386-linux-gnu/libtidy.so.1"),
    ),
    harmless(
        "one architecture of a library goes and the shared documents stay",
        "apt-get -y remove libtidy:i386",
        installed=SAME[:2],
        before="dpkg --add-architecture i386",
        gone=("/usr/lib/i386-linux-gnu/libtidy.so.1",),
        kept=("/usr/share/doc/libtidy/copyright", "/usr/lib/x86_64-linux-gnu/libtidy.so.1"),
    ),
    _upgrade(
        "an upgrade drops a program and one old file of its state",
        _toy("1.0", {"/usr/bin/tidy-old": "x\n"}),
        _toy("2.0", postinst="rm -f /var/lib/tidy/index.old"),
        precondition="mkdir /var/lib/tidy; echo rows > /var/lib/tidy/db; echo old > /var/lib/tidy/index.old",
        gone=("/usr/bin/tidy-old", "/var/lib/tidy/index.old"),
        kept=("/var/lib/tidy/db",),
    ),
    _upgrade(
        "an upgrade gives its own state to its own account",
        FIRST,
        replace(
            FIRST,
            version="2.0",
            scripts={
                "postinst": "systemd-sysusers tidy.conf; chown -R tidyd /var/lib/tidy; chmod 750 /var/lib/tidy"
            },
        ),
        kept=("/var/lib/tidy/db",),
    ),
    _upgrade(
        "an upgrade replaces a directory by a link with the tool made for it",
        _toy("1.0", {"/usr/share/tidy/doc/manual": "x\n"}),
        replace(
            _toy(
                "2.0",
                {"/usr/share/doc/tidy/manual": "x\n"},
                **dict.fromkeys(
                    ("preinst", "postinst", "postrm"),
                    'dpkg-maintscript-helper dir_to_symlink /usr/share/tidy/doc ../doc/tidy 2.0~ tidy -- "$@"',
                ),
            ),
            links={"/usr/share/tidy/doc": "../doc/tidy"},
        ),
        kept=("/usr/share/tidy/doc/manual",),
        made=("/usr/share/doc/tidy/manual",),
    ),
    harmless(
        "the same version is installed again",
        f"dpkg -i {_toy('1.0').archive}",
        installed=(_toy("1.0"),),
        kept=("/usr/share/tidy/README",),
    ),
    harmless(
        "a file in etc that is no conffile and was never edited is replaced",
        f"dpkg -i {_toy('2.0').archive}",
        installed=(replace(_toy("1.0", {"/etc/tidy/tables": "1\n"}), conffiles=()),),
        present=(replace(_toy("2.0", {"/etc/tidy/tables": "2\n"}), conffiles=()),),
        kept=("/etc/tidy/tables",),
    ),
)
