# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which packages come and go: what each front end is told, as harmful and harmless twins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TOYS = "/root/toys"
# Besides aptguard's own: all front ends, and a terminal to drive one of them in.
PACKAGES = (
    *("aptitude", "packagekit", "packagekit-tools", "shared-mime-info", "unattended-upgrades"),
    "tmux",
)
ONLY_TOYS = "-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/testbed.list -o Dir::Etc::sourceparts=-"
# Else a run that may upgrade everything upgrades these.
HELD = "apt-mark -qq hold bad-replace good-replace; "
# aptitude remembers what it was told and could not do.
FORGOTTEN = "rm -f /var/lib/aptitude/pkgstates*"


@dataclass(frozen=True, slots=True)
class Case:
    """One command; ``afterwards`` is what becomes of packages, None when it must be blocked."""

    name: str
    command: str
    exit_code: int
    afterwards: dict[str, str] | None = None
    before: str = ""


def all_cases() -> tuple[Case, ...]:
    """Return all cases, their names unique."""
    return (
        *surroundings(),
        *apt("apt-get"),
        *apt("apt"),
        *aptitude(),
        *python_apt(),
        *packagekit(),
        *unattended(),
        *dpkg(),
    )


def pair(
    name: str, command: str, refusal: int, afterwards: dict[str, str], before: str = ""
) -> Iterator[Case]:
    """Yield the harmful and the harmless twin; ``KIND`` stands for what tells them apart."""

    def of(kind: str, text: str) -> str:
        return text.replace("KIND", kind)

    yield Case(f"{name}, harmful", of("bad", command), refusal, None, of("bad", before))
    states = {of("good", package): state for package, state in afterwards.items()}
    yield Case(f"{name}, harmless", of("good", command), 0, states, of("good", before))


def surroundings() -> Iterator[Case]:
    """Yield calls without a terminal, without an environment, without descriptors, and with a terminal."""
    path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    remove = "apt-get -y remove KIND-remove"
    for name, command in (
        ("without an environment", f"env -i {path} {remove} </dev/null"),
        ("quietly", "DEBIAN_FRONTEND=noninteractive apt-get -qq -y remove KIND-remove"),
        ("without a standard input", f"{remove} <&-"),
        ("on a terminal", f"script -qec '{remove}' /dev/null"),
        (
            "with a progress bar",
            "TERM=xterm script -qec 'apt -o DPkg::Progress-Fancy=1 -y remove KIND-remove' /dev/null",
        ),
        (
            "as by cron",
            f"env -i {path} HOME=/root SHELL=/bin/sh LOGNAME=root sh -c '{remove}' 2>&1 | cat; "
            "exit ${PIPESTATUS[0]}",
        ),
    ):
        yield from pair(name, command, 100, {"KIND-remove": "un"})


def apt(program: str) -> Iterator[Case]:
    """Yield what apt and apt-get are told."""
    call = f"{program} -q -y"
    yield from pair(f"{program} install", f"{call} install KIND-install", 100, {"KIND-install": "ii 1.0"})
    yield from pair(
        f"{program} install FILE",
        f"{call} install {TOYS}/KIND-install_1.0_all.deb",
        100,
        {"KIND-install": "ii 1.0"},
    )
    yield from pair(
        f"{program} upgrade",
        f"{call} {ONLY_TOYS} upgrade",
        100,
        {"KIND-replace": "ii 3.0"},
        f"{HELD}apt-mark -qq unhold KIND-replace",
    )
    yield from pair(
        f"{program} downgrade",
        f"{call} --allow-downgrades install KIND-replace=1.0",
        100,
        {"KIND-replace": "ii 1.0"},
    )
    yield from pair(f"{program} remove", f"{call} remove KIND-remove", 100, {"KIND-remove": "un"})
    yield from pair(f"{program} purge", f"{call} purge KIND-purge", 100, {"KIND-purge": "un"})
    yield Case(
        f"{program} remove of what harms only when purged",
        f"{call} remove bad-purge",
        0,
        {"bad-purge": "rc 2.0"},
    )
    if program == "apt":
        return
    yield from pair(
        "apt-get upgrade of one",
        f"{call} install --only-upgrade KIND-replace",
        100,
        {"KIND-replace": "ii 3.0"},
    )
    yield from pair(
        "apt-get reinstall",
        f"{call} install --reinstall KIND-replace=2.0",
        100,
        {"KIND-replace": "ii 2.0"},
    )
    yield from pair(
        "apt-get autoremove",
        f"{call} autoremove",
        100,
        {"KIND-remove": "un"},
        "apt-mark -qq auto KIND-remove",
    )
    yield from pair(
        "apt-get install, which drives another out",
        f"{call} install KIND-rival",
        100,
        {"KIND-rival": "ii 1.0", "KIND-remove": "un"},
    )
    yield from pair(
        "apt-get install, which makes another disappear",
        f"{call} install KIND-heir",
        100,
        {"KIND-heir": "ii 1.0", "KIND-gone": "un"},
    )
    yield from pair(
        "apt-get install, which triggers another",
        f"{call} install KIND-activates",
        100,
        {"KIND-activates": "ii 1.0"},
    )
    yield from pair(
        "apt-get purge of what is left",
        f"{call} purge KIND-purge",
        100,
        {"KIND-purge": "un"},
        "dpkg -r KIND-purge",
    )
    yield from pair(
        "apt-get -f install",
        f"{call} -f install",
        100,
        {"KIND-install": "ii 1.0"},
        f"dpkg --unpack {TOYS}/KIND-install_1.0_all.deb",
    )
    yield from pair(
        "apt-get dselect-upgrade",
        f"{call} dselect-upgrade",
        100,
        {"KIND-purge": "un"},
        f"{HELD}echo KIND-purge purge | dpkg --set-selections",
    )
    yield Case(
        "apt-get dselect-upgrade that only removes",
        f"{call} dselect-upgrade",
        0,
        {"bad-purge": "rc 2.0"},
        f"{HELD}echo bad-purge deinstall | dpkg --set-selections",
    )


def aptitude() -> Iterator[Case]:
    """Yield what aptitude is told, on its command line and on its screen."""
    call = "aptitude -q -y"
    yield from pair(
        "aptitude install", f"{call} install KIND-install", 255, {"KIND-install": "ii 1.0"}, FORGOTTEN
    )
    yield from pair(
        "aptitude upgrade", f"{call} install KIND-replace", 255, {"KIND-replace": "ii 3.0"}, FORGOTTEN
    )
    yield from pair(
        "aptitude downgrade", f"{call} install KIND-replace=1.0", 255, {"KIND-replace": "ii 1.0"}, FORGOTTEN
    )
    yield from pair("aptitude remove", f"{call} remove KIND-remove", 255, {"KIND-remove": "un"}, FORGOTTEN)
    yield from pair("aptitude purge", f"{call} purge KIND-purge", 255, {"KIND-purge": "un"}, FORGOTTEN)
    yield Case(
        "aptitude remove of what harms only when purged",
        f"{call} remove bad-purge",
        0,
        {"bad-purge": "rc 2.0"},
        FORGOTTEN,
    )
    yield from pair(
        "aptitude's screen, purge", "aptitude-screen KIND-purge _", 1, {"KIND-purge": "un"}, FORGOTTEN
    )
    yield from pair(
        "aptitude's screen, install",
        "aptitude-screen KIND-install +",
        1,
        {"KIND-install": "ii 1.0"},
        FORGOTTEN,
    )


def python_apt() -> Iterator[Case]:
    """Yield what a program on python-apt does; it leaves no trace of what it will do."""
    for verb, package, afterwards in (
        ("install", "KIND-install", "ii 1.0"),
        ("upgrade", "KIND-replace", "ii 3.0"),
        ("remove", "KIND-remove", "un"),
        ("purge", "KIND-purge", "un"),
    ):
        yield from pair(f"python-apt {verb}", f"a-program {verb}:{package}", 1, {package: afterwards})
    yield from pair(
        "python-apt downgrade", "a-program install:KIND-replace=1.0", 1, {"KIND-replace": "ii 1.0"}
    )
    yield Case(
        "python-apt remove of what harms only when purged",
        "a-program remove:bad-purge",
        0,
        {"bad-purge": "rc 2.0"},
    )
    yield Case(
        "python-apt remove and purge, mixed, harmful",
        "a-program remove:good-remove purge:bad-purge",
        1,
    )
    yield Case(
        "python-apt remove and purge, mixed, harmless",
        "a-program remove:bad-purge purge:good-purge",
        0,
        {"bad-purge": "rc 2.0", "good-purge": "un"},
    )


def packagekit() -> Iterator[Case]:
    """Yield what PackageKit's daemon is told; it has no environment and shows nothing of a hook's output."""
    call = "pkcon --plain --noninteractive"
    yield from pair("pkcon install", f"{call} install KIND-install", 7, {"KIND-install": "ii 1.0"})
    yield from pair(
        "pkcon install-local",
        f"{call} install-local {TOYS}/KIND-install_1.0_all.deb",
        7,
        {"KIND-install": "ii 1.0"},
    )
    yield from pair("pkcon update", f"{call} update KIND-replace", 7, {"KIND-replace": "ii 3.0"})
    yield from pair("pkcon remove", f"{call} remove KIND-remove", 7, {"KIND-remove": "un"})
    yield Case(
        "pkcon remove of what harms only when purged",
        f"{call} remove bad-purge",
        0,
        {"bad-purge": "rc 2.0"},
    )


def unattended() -> Iterator[Case]:
    """Yield what unattended-upgrades does by itself."""
    yield from pair(
        "unattended-upgrade",
        "unattended-upgrade",
        1,
        {"KIND-replace": "ii 3.0"},
        f"{HELD}apt-mark -qq unhold KIND-replace",
    )


def dpkg() -> Iterator[Case]:
    """Yield what dpkg itself is told."""
    new = f"{TOYS}/KIND-install_1.0_all.deb"
    yield from pair("dpkg -i", f"dpkg -i {new}", 2, {"KIND-install": "ii 1.0"})
    yield from pair(
        "dpkg -i with a relative path",
        f"cd {TOYS}; dpkg -i ./KIND-install_1.0_all.deb",
        2,
        {"KIND-install": "ii 1.0"},
    )
    yield from pair(
        "dpkg -i upgrade", f"dpkg -i {TOYS}/KIND-replace_3.0_all.deb", 2, {"KIND-replace": "ii 3.0"}
    )
    yield from pair(
        "dpkg -i downgrade", f"dpkg -i {TOYS}/KIND-replace_1.0_all.deb", 2, {"KIND-replace": "ii 1.0"}
    )
    yield from pair(
        "dpkg --unpack", f"dpkg --unpack {TOYS}/KIND-replace_3.0_all.deb", 2, {"KIND-replace": "iU 3.0"}
    )
    yield from pair(
        "dpkg --configure",
        "dpkg --configure KIND-install",
        2,
        {"KIND-install": "ii 1.0"},
        f"dpkg --unpack {new}",
    )
    for words in ("--configure --pending", "--configure -a"):
        yield from pair(
            f"dpkg {words}", f"dpkg {words}", 2, {"KIND-install": "ii 1.0"}, f"dpkg --unpack {new}"
        )
    yield from pair(
        "dpkg -i --recursive",
        "dpkg -i --recursive /root/folder",
        2,
        {"KIND-install": "ii 1.0"},
        f"mkdir -p /root/folder/below; rm -f /root/folder/below/*; cp {new} /root/folder/below",
    )
    yield from pair("dpkg -r", "dpkg -r KIND-remove", 2, {"KIND-remove": "un"})
    yield from pair("dpkg -P", "dpkg -P KIND-purge", 2, {"KIND-purge": "un"})
    yield from pair(
        "dpkg -P of what is left", "dpkg -P KIND-purge", 2, {"KIND-purge": "un"}, "dpkg -r KIND-purge"
    )
    yield from pair(
        "dpkg --purge --pending",
        "dpkg --purge --pending",
        2,
        {"KIND-purge": "un"},
        "echo KIND-purge purge | dpkg --set-selections",
    )
    yield from pair(
        "dpkg --remove --pending",
        "dpkg --remove --pending",
        2,
        {"KIND-remove": "un"},
        "echo KIND-remove deinstall | dpkg --set-selections",
    )
    yield Case("dpkg -r of what harms only when purged", "dpkg -r bad-purge", 0, {"bad-purge": "rc 2.0"})
    yield from pair(
        "dpkg --triggers-only",
        "dpkg --triggers-only --pending",
        2,
        {"KIND-trigger": "ii 2.0"},
        "dpkg-trigger --by-package=KIND-replace KIND-event",
    )
    yield from pair(
        "dpkg -i, which drives another out",
        f"dpkg -i {TOYS}/KIND-rival_1.0_all.deb",
        2,
        {"KIND-rival": "ii 1.0", "KIND-remove": "un"},
    )
    yield from pair(
        "dpkg -i, which makes another disappear",
        f"dpkg -i {TOYS}/KIND-heir_1.0_all.deb",
        2,
        {"KIND-heir": "ii 1.0", "KIND-gone": "un"},
    )
    yield from pair(
        "dpkg -i, which triggers another",
        f"dpkg -i {TOYS}/KIND-activates_1.0_all.deb",
        2,
        {"KIND-activates": "ii 1.0"},
    )
    yield from pair(
        "dpkg called by a script",
        "sh -c 'exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg --purge KIND-purge'",
        2,
        {"KIND-purge": "un"},
    )
