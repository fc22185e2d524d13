# SPDX-License-Identifier: GPL-3.0-or-later
"""Further ways in: what is rarer, or the same code of apt by another name."""

from __future__ import annotations

from collections.abc import Iterator

from system.front_ends import FORGOTTEN, HELD, ONLY_TOYS, TOYS, Case, pair

UNUSED = "apt-mark -qq auto KIND-remove"
LEFT = "dpkg -r KIND-purge"
RIVAL = {"KIND-rival": "ii 1.0", "KIND-remove": "un"}
HEIR = {"KIND-heir": "ii 1.0", "KIND-gone": "un"}
SECOND = {"KIND-replace": "ii 2.0"}


def more_cases() -> tuple[Case, ...]:
    """Return them, their names unique also beside those of front_ends.py."""
    return (*apt(), *aptitude(), *python_apt(), *packagekit(), *unattended(), *dpkg())


def apt() -> Iterator[Case]:
    """Yield what apt does by the same code as apt-get, and what follows from an install."""
    call = "apt -q -y"
    yield from pair("apt reinstall", f"{call} reinstall KIND-replace=2.0", 100, SECOND)
    yield from pair("apt autoremove", f"{call} autoremove", 100, {"KIND-remove": "un"}, UNUSED)
    for words in ("apt -q -y autopurge", "apt-get -q -y autoremove --purge"):
        yield from pair(words, words, 100, {"KIND-purge": "un"}, "apt-mark -qq auto KIND-purge")
    yield from pair(
        "apt full-upgrade",
        f"{call} {ONLY_TOYS} full-upgrade",
        100,
        {"KIND-replace": "ii 3.0"},
        f"{HELD}apt-mark -qq unhold KIND-replace",
    )
    yield from pair("apt purge of what is left", f"{call} purge KIND-purge", 100, {"KIND-purge": "un"}, LEFT)
    yield from pair("apt install, which drives another out", f"{call} install KIND-rival", 100, RIVAL)
    yield from pair("apt install, which makes another disappear", f"{call} install KIND-heir", 100, HEIR)
    yield from pair(
        "apt-get install and remove in one",
        "apt-get -q -y install good-install KIND-remove-",
        100,
        {"good-install": "ii 1.0", "KIND-remove": "un"},
    )


def aptitude() -> Iterator[Case]:
    """Yield what else aptitude is told, on its command line and on its screen."""
    call = "aptitude -q -y"
    for name, words, afterwards, before in (
        ("reinstall", "reinstall KIND-replace", SECOND, ""),
        ("safe-upgrade", "safe-upgrade KIND-replace", {"KIND-replace": "ii 3.0"}, ""),
        ("full-upgrade", "full-upgrade KIND-replace", {"KIND-replace": "ii 3.0"}, ""),
        ("purge of what is left", "purge KIND-purge", {"KIND-purge": "un"}, LEFT),
        ("install, which drives another out", "install KIND-rival", RIVAL, ""),
        ("install, which makes another disappear", "install KIND-heir", HEIR, ""),
        ("install, which triggers another", "install KIND-activates", {"KIND-activates": "ii 1.0"}, ""),
    ):
        yield from pair(
            f"aptitude {name}", f"{call} {words}", 255, afterwards, f"{FORGOTTEN}; {before or ':'}"
        )
    # Its harmful twin is in test_wishes_of_blocked_runs.py: aptitude writes its wishes again at its end.
    yield Case(
        "aptitude removal of what nobody needs",
        f"{call} install",
        0,
        {"good-remove": "un"},
        f"{FORGOTTEN}; apt-mark -qq auto good-remove",
    )
    yield from pair(
        "aptitude's screen, remove", "aptitude-screen KIND-remove -", 1, {"KIND-remove": "un"}, FORGOTTEN
    )
    yield from pair(
        "aptitude's screen, upgrade",
        "aptitude-screen KIND-replace +",
        1,
        {"KIND-replace": "ii 3.0"},
        FORGOTTEN,
    )


def python_apt() -> Iterator[Case]:
    """Yield what else a program on python-apt does."""
    for name, words, afterwards, before in (
        ("purge of what is left", "purge:KIND-purge", {"KIND-purge": "un"}, LEFT),
        ("autoremove", "autoremove:", {"KIND-remove": "un"}, UNUSED),
        ("install, which drives another out", "install:KIND-rival", RIVAL, ""),
        ("install, which makes another disappear", "install:KIND-heir", HEIR, ""),
        ("install, which triggers another", "install:KIND-activates", {"KIND-activates": "ii 1.0"}, ""),
    ):
        yield from pair(f"python-apt {name}", f"a-program {words}", 1, afterwards, before)
    yield from pair(
        "python-apt install and purge in one",
        "a-program install:good-install purge:KIND-purge",
        1,
        {"good-install": "ii 1.0", "KIND-purge": "un"},
    )
    yield from pair("a program's reinstall", "a-program reinstall:KIND-replace=2.0", 1, SECOND)
    yield from pair(
        "python-apt install FILE",
        f"a-program file:{TOYS}/KIND-install_1.0_all.deb",
        2,
        {"KIND-install": "ii 1.0"},
    )


def packagekit() -> Iterator[Case]:
    """Yield what else PackageKit's daemon is told."""
    call = "pkcon --plain --noninteractive"
    yield from pair(
        "pkcon downgrade",
        f"{call} install --allow-downgrade 'KIND-replace;1.0;all;'",
        7,
        {"KIND-replace": "ii 1.0"},
    )
    yield from pair(
        "pkcon install-local upgrade",
        f"{call} install-local {TOYS}/KIND-replace_3.0_all.deb",
        7,
        {"KIND-replace": "ii 3.0"},
    )
    yield from pair("pkcon install, which drives another out", f"{call} install KIND-rival", 7, RIVAL)
    yield from pair("pkcon install, which makes another disappear", f"{call} install KIND-heir", 7, HEIR)
    yield from pair(
        "pkcon install, which triggers another",
        f"{call} install KIND-activates",
        7,
        {"KIND-activates": "ii 1.0"},
    )


def unattended() -> Iterator[Case]:
    """Yield what unattended-upgrades removes by itself, where it is told to."""
    file = "/root/unused.conf"
    yield from pair(
        "unattended-upgrade removes what nobody needs",
        f"APT_CONFIG={file} unattended-upgrade",
        1,
        {"KIND-remove": "un"},
        f"{HELD}{UNUSED}; echo 'Unattended-Upgrade::Remove-Unused-Dependencies \"true\";' >{file}",
    )


def dpkg() -> Iterator[Case]:
    """Yield what else dpkg itself is told."""
    yield from pair("dpkg -i reinstall", f"dpkg -i {TOYS}/KIND-replace_2.0_all.deb", 2, SECOND)
    yield from pair(
        "dpkg --unpack --recursive",
        "dpkg --unpack --recursive /root/folder",
        2,
        {"KIND-replace": "iU 3.0"},
        f"rm -rf /root/folder; mkdir -p /root/folder/a; cp {TOYS}/KIND-replace_3.0_all.deb /root/folder/a",
    )
    yield from pair(
        "dpkg --triggers-only NAME",
        "dpkg --triggers-only KIND-trigger",
        2,
        {"KIND-trigger": "ii 2.0"},
        "dpkg-trigger --by-package=KIND-replace KIND-event",
    )
    yield from pair(
        "dpkg --triggers-only -a",
        "dpkg --triggers-only -a",
        2,
        {"KIND-trigger": "ii 2.0"},
        "dpkg-trigger --by-package=KIND-replace KIND-event",
    )
    yield from pair(
        "dpkg -r of several",
        "dpkg -r good-purge KIND-remove",
        2,
        {"good-purge": "rc 2.0", "KIND-remove": "un"},
    )
    yield from pair("dpkg -P by force", "dpkg --force-all -P KIND-purge", 2, {"KIND-purge": "un"})
    yield from pair(
        "dpkg --install of several by path",
        f"cd {TOYS}; dpkg --install good-activates_1.0_all.deb ../toys/KIND-install_1.0_all.deb",
        2,
        {"good-activates": "ii 1.0", "KIND-install": "ii 1.0"},
    )
