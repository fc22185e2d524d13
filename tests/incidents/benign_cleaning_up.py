# SPDX-License-Identifier: GPL-3.0-or-later
"""Harmless: packages that clean up after themselves when they go."""

from __future__ import annotations

from incidents.incident import Toy, harmless, purge, remove


def _toy(name: str, *directories: str, **scripts: str) -> Toy:
    files = {f"/usr/share/{name}/README": "x\n", **{f"{directory}/": "" for directory in directories}}
    return Toy(name, files=files, scripts=scripts)


def _on(argument: str, deed: str) -> str:
    return f'case "$1" in {argument}) {deed} ;; esac'


CONF = Toy("tidy", files={"/etc/tidy/tidy.conf": "shipped\n", "/usr/share/tidy/README": "x\n"})

INCIDENTS = (
    harmless(
        "a purge deletes the package's own cache and its own log",
        purge("tidy"),
        installed=(
            _toy(
                "tidy",
                "/var/cache/tidy",
                postrm=_on("purge", "rm -rf /var/cache/tidy /var/log/tidy /var/log/tidy.log*"),
            ),
        ),
        precondition="mkdir -p /var/log/tidy; echo x > /var/cache/tidy/x; echo x > /var/log/tidy/tidy.log; "
        "echo x > /var/log/tidy.log",
        gone=("/var/cache/tidy", "/var/log/tidy/tidy.log", "/var/log/tidy.log"),
    ),
    harmless(
        "a removal deletes the package's own cache",
        remove("tidy"),
        installed=(_toy("tidy", prerm="rm -rf /var/cache/tidy"),),
        precondition="mkdir /var/cache/tidy; echo x > /var/cache/tidy/index",
        gone=("/var/cache/tidy",),
    ),
    harmless(
        "a purge deletes logs that were rotated long ago",
        purge("tidy"),
        installed=(_toy("tidy", postrm=_on("purge", "rm -f /var/log/tidy.log*; rm -rf /var/log/tidy")),),
        precondition="mkdir /var/log/tidy; for n in '' .1 .2.gz .3.gz; do echo x > /var/log/tidy.log$n; "
        "echo x > /var/log/tidy/access.log$n; done",
        gone=("/var/log/tidy.log.2.gz", "/var/log/tidy/access.log.3.gz"),
    ),
    harmless(
        "dpkg deletes the edited conffile of a package that is purged",
        purge("tidy"),
        installed=(CONF,),
        precondition="echo edited >> /etc/tidy/tidy.conf; cp /etc/tidy/tidy.conf /etc/tidy/tidy.conf.dpkg-old",
        gone=("/etc/tidy/tidy.conf", "/etc/tidy/tidy.conf.dpkg-old", "/etc/tidy"),
    ),
    harmless(
        "dpkg keeps the edited conffile of a package that is removed",
        remove("tidy"),
        installed=(CONF,),
        precondition="echo edited >> /etc/tidy/tidy.conf",
        kept=("/etc/tidy/tidy.conf",),
        gone=("/usr/share/tidy/README",),
    ),
    harmless(
        "plain dpkg purges what was removed before",
        "dpkg -P tidy",
        installed=(CONF,),
        precondition="dpkg -r tidy",
        gone=("/etc/tidy/tidy.conf",),
    ),
    harmless(
        "rmdir fails on the administrator's link and the script goes on",
        purge("tidy"),
        installed=(
            _toy(
                "tidy",
                postinst="mkdir -p /etc/tidy.d",
                postrm=_on("purge", "rmdir --ignore-fail-on-non-empty /etc/tidy.d 2> /dev/null || true"),
            ),
        ),
        precondition="mv /etc/tidy.d /srv/tidy.d; ln -s /srv/tidy.d /etc/tidy.d",
        kept=("/etc/tidy.d", "/srv/tidy.d"),
        gone=("/usr/share/tidy/README",),
    ),
    harmless(
        "a purge deletes a configuration that ucf looks after",
        purge("odd-name"),
        installed=(
            _toy(
                "odd-name",
                postrm=_on(
                    "purge",
                    "for e in '' .ucf-old .ucf-dist; do rm -f /etc/strange.conf$e; done; "
                    "sed -i /strange/d /var/lib/ucf/hashfile /var/lib/ucf/registry",
                ),
            ),
        ),
        # ucf's own books: ucf(1), /var/lib/ucf/hashfile and registry
        precondition="mkdir -p /var/lib/ucf; echo x > /etc/strange.conf; cp /etc/strange.conf /etc/strange.conf.ucf-old; "
        "echo '401b30e3b8b5d629635a5c613cdb7919  /etc/strange.conf' > /var/lib/ucf/hashfile; "
        "echo 'odd-name /etc/strange.conf' > /var/lib/ucf/registry",
        gone=("/etc/strange.conf", "/etc/strange.conf.ucf-old"),
    ),
    harmless(
        "a purge deletes the state in the directory that the package ships",
        purge("tidy"),
        installed=(_toy("tidy", "/var/lib/tidy", postrm=_on("purge", "rm -rf /var/lib/tidy")),),
        precondition="mkdir /var/lib/tidy/db; echo x > /var/lib/tidy/db/index",
        gone=("/var/lib/tidy",),
    ),
    harmless(
        "a purge deletes the configuration that the package made itself",
        purge("tidy-server"),
        installed=(
            _toy(
                "tidy-server",
                postinst="mkdir -p /etc/tidy; echo made > /etc/tidy/server.conf; echo X=1 > /etc/default/tidy-server",
                postrm=_on("purge", "rm -rf /etc/tidy /etc/default/tidy-server"),
            ),
        ),
        gone=("/etc/tidy/server.conf", "/etc/default/tidy-server"),
    ),
    harmless(
        "a removal deletes Python's byte code and leaves everything else",
        remove("pytidy"),
        installed=(
            Toy(
                "pytidy",
                files={"/usr/lib/python3/dist-packages/pytidy/__init__.py": "x = 1\n"},
                scripts={
                    "postinst": "python3 -m compileall -q /usr/lib/python3/dist-packages/pytidy",
                    "prerm": "rm -rf /usr/lib/python3/dist-packages/pytidy/__pycache__",
                },
            ),
        ),
        gone=("/usr/lib/python3/dist-packages/pytidy",),
    ),
    harmless(
        "a removal takes the links away by which its service was enabled",
        purge("tidyd"),
        installed=(
            Toy(
                "tidyd",
                files={
                    "/usr/lib/systemd/system/tidyd.service": "[Service]\nExecStart=/bin/true\n"
                    "[Install]\nWantedBy=multi-user.target\nAlias=dbus-org.tidy.service\n"
                },
                scripts={
                    "postinst": "deb-systemd-helper unmask tidyd.service > /dev/null; deb-systemd-helper enable tidyd.service",
                    "postrm": 'if [ "$1" = remove ]; then deb-systemd-helper mask tidyd.service > /dev/null; fi; '
                    'if [ "$1" = purge ]; then deb-systemd-helper purge tidyd.service > /dev/null; '
                    "deb-systemd-helper unmask tidyd.service > /dev/null; fi",
                },
            ),
        ),
        gone=(
            "/etc/systemd/system/multi-user.target.wants/tidyd.service",
            "/etc/systemd/system/dbus-org.tidy.service",
        ),
    ),
    harmless(
        "a removal takes its own alternative back, and the other one takes over",
        remove("tidy-editor"),
        installed=(
            Toy("plain-editor", files={"/usr/bin/plain-editor": "x\n"}),
            Toy(
                "tidy-editor",
                files={"/usr/bin/tidy-editor": "x\n"},
                scripts={"prerm": "update-alternatives --remove toy-editor /usr/bin/tidy-editor"},
            ),
        ),
        precondition="chmod 755 /usr/bin/*-editor; "
        "update-alternatives --install /usr/bin/toy-editor toy-editor /usr/bin/plain-editor 10; "
        "update-alternatives --install /usr/bin/toy-editor toy-editor /usr/bin/tidy-editor 20",
        kept=("/usr/bin/toy-editor",),
        gone=("/usr/bin/tidy-editor",),
    ),
    harmless(
        "the last alternative goes with the package that made it",
        remove("tidy-editor"),
        installed=(
            Toy(
                "tidy-editor",
                files={"/usr/bin/tidy-editor": "x\n"},
                modes={"/usr/bin/tidy-editor": 0o755},
                scripts={
                    "postinst": "update-alternatives --install /usr/bin/toy-editor toy-editor /usr/bin/tidy-editor 20",
                    "prerm": "update-alternatives --remove toy-editor /usr/bin/tidy-editor",
                },
            ),
        ),
        gone=("/usr/bin/toy-editor", "/etc/alternatives/toy-editor"),
    ),
    harmless(
        "a removal undoes its own diversion and the other package's file is back",
        remove("tidy-find"),
        installed=(
            Toy("real-find", files={"/usr/bin/toy-find": "real\n"}),
            Toy(
                "tidy-find",
                files={"/usr/bin/toy-find": "tidy\n"},
                scripts={
                    "preinst": "dpkg-divert --package tidy-find --add --rename --divert /usr/bin/toy-find.real /usr/bin/toy-find",
                    "postrm": _on(
                        "remove",
                        "dpkg-divert --package tidy-find --remove --rename --divert /usr/bin/toy-find.real /usr/bin/toy-find",
                    ),
                },
            ),
        ),
        kept=("/usr/bin/toy-find",),
        gone=("/usr/bin/toy-find.real",),
    ),
    harmless(
        "a directory that another package ships too stays when one of the two goes",
        purge("tidy"),
        installed=(
            Toy("tidy", files={"/usr/share/shared/tidy.txt": "x\n"}),
            Toy("other", files={"/usr/share/shared/other.txt": "x\n"}),
        ),
        kept=("/usr/share/shared/other.txt",),
        gone=("/usr/share/shared/tidy.txt",),
    ),
    harmless(
        "a removal leaves the state alone, and only the empty lock file goes",
        remove("tidy"),
        installed=(_toy("tidy", prerm="rm -f /var/lib/tidy/lock /run/tidy.pid"),),
        precondition="mkdir /var/lib/tidy; echo rows > /var/lib/tidy/db; touch /var/lib/tidy/lock; echo 7 > /run/tidy.pid",
        kept=("/var/lib/tidy/db",),
        gone=("/var/lib/tidy/lock",),
    ),
    harmless(
        "dpkg cannot remove the package's empty directory, because a volume is mounted on it",
        purge("tidy-one"),
        installed=(_toy("tidy-one", "/var/lib/one/datastores/0"),),
        precondition="mount -t tmpfs volume /var/lib/one/datastores/0; echo disk > /var/lib/one/datastores/0/disk",
        kept=("/var/lib/one/datastores/0/disk",),
        gone=("/usr/share/tidy-one/README",),
    ),
    harmless(
        "a purge asks before it deletes the database, and nobody says yes",
        purge("sasl-toy"),
        installed=(
            _toy(
                "sasl-toy",
                postrm=_on(
                    "purge", 'answer=no; if [ "$answer" = yes ]; then rm -f /var/lib/sasl2/sasldb2; fi'
                ),
            ),
        ),
        precondition="mkdir -p /var/lib/sasl2; echo users > /var/lib/sasl2/sasldb2",
        kept=("/var/lib/sasl2/sasldb2",),
        gone=("/usr/share/sasl-toy/README",),
    ),
)
