# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of change on every disk file system: the rehearsal says what then really happens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from oracle import differences

from aptguard.changes.model import Kind
from rehearsal.disks import made, mount_image
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root

# user::rw-, user:1000:r--, group::r--, mask::r--, other::r-- (linux/posix_acl_xattr.h)
_ACL = "0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff"
_CAPABILITY = "0100000200040000000000000000000000000000"

_BEFORE = r"""
import os, stat, sys
os.chdir(sys.argv[1])
for name in ("deleted", "content", "same size", "touched", "mode", "owner", "group", "setuid", "capability",
             "acl", "xattr", "flags", "type", "hard/a", "hard/gone", "directory/deep/file", "moved/deep/file",
             "opaque/old", "opaque/both", "new\nline", "a:b,c\\d"):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w") as file:
        file.write("content of " + name)
for target, name in (("hard/a", "hard/b"), ("hard/a", "hard-c"), ("hard/gone", "hard/stays")):
    os.link(target, name)
os.symlink("one", "target")
os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
os.mknod("other device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
"""

_DURING = r"""
import array, fcntl, os, shutil, sys
os.chdir(sys.argv[1])
os.unlink("deleted")
os.unlink("new\nline")
open("a:b,c\\d", "a").write("+")
open("content", "a").write("+")
before = os.stat("same size")
with open("same size", "r+") as file:
    file.write("C")
os.utime("same size", ns=(before.st_atime_ns, before.st_mtime_ns))
open("touched", "r+").close()
os.utime("touched")
os.chmod("mode", 0o600)
os.chown("owner", 1000, -1)
os.chown("group", -1, 1000)
os.chmod("setuid", 0o4755)
os.setxattr("capability", "security.capability", bytes.fromhex("CAPABILITY"))
os.setxattr("acl", "system.posix_acl_access", bytes.fromhex("ACL"))
os.setxattr("xattr", "user.note", b"1")
with open("flags", "r+") as file:  # in the rehearsal a copy, which has none of the lower file system's flags
    number = array.array("l", [0])
    fcntl.ioctl(file, 0x80086601, number)
    number[0] |= 0x10
    fcntl.ioctl(file, 0x40086602, number)
os.unlink("type")
os.mkdir("type")
os.unlink("target")
os.symlink("two", "target")
os.rename("other device", "device")
with open("hard/b", "a") as file:
    file.write("+")
with open("hard/gone", "a") as file:
    file.write("+")
os.unlink("hard/gone")
shutil.rmtree("directory")
os.rename("moved", "away")
shutil.rmtree("opaque")
os.mkdir("opaque")
open("opaque/both", "w").write("other")
open("created", "w").close()
""".replace("CAPABILITY", _CAPABILITY).replace("ACL", _ACL)


# What chattr(1) does.
_CHANGEABLE = """
import array, fcntl
with open("/srv/disk/kept") as file:
    number = array.array("l", [0])
    fcntl.ioctl(file, 0x80086601, number)
    number[0] &= ~0x10
    fcntl.ioctl(file, 0x40086602, number)
"""


_ATTRIBUTES = {"capability": Kind.CAPABILITY, "acl": Kind.ACL, "xattr": Kind.XATTRS}


def refused_attributes(machine: Machine, place: str) -> set[str]:
    """Return those files of _DURING whose attribute cannot be set in a rehearsal here, which is no secret.

    Before Linux 6.6 a tmpfs, which holds the upper layers, has no user.* attributes (tmpfs(5)).
    """
    found = set()
    for name in _ATTRIBUTES:
        (line,) = (line for line in _DURING.splitlines() if line.startswith(f'os.setxattr("{name}"'))
        machine.write("/run/one.py", f"import os\nos.chdir({place!r})\n{line}\n")
        result = machine.rehearse_shell("/usr/bin/python3 /run/one.py")
        if not result.complete:
            assert "Operation not supported" in result.unknowns[0].reason
            found.add(name)
    release = tuple(int(number) for number in os.uname().release.split(".")[:2])
    assert not found or release < (6, 6), found
    return found


@pytest.mark.parametrize("kind", ["the root", "tmpfs", "ext4", "xfs", "btrfs"])
def test_every_kind_of_change_is_told_as_it_then_happens(machine: Machine, tmp_path: Path, kind: str) -> None:
    place = {"the root": "/opt/place", "tmpfs": "/srv/data"}.get(kind, "/srv/disk")
    if place == "/srv/disk":
        mount_image(machine, made(tmp_path, kind), place)
    else:
        os.makedirs(machine.path(place), exist_ok=True)
    prepared = machine.run("python3", "-c", _BEFORE, place)
    assert prepared.returncode == 0, prepared.stderr
    refused = refused_attributes(machine, place)
    lines = _DURING.splitlines(keepends=True)
    left_out = tuple(f'os.setxattr("{name}"' for name in refused)
    machine.write("/run/during.py", "".join(line for line in lines if not line.startswith(left_out)))
    copied = machine.run("cp", "--archive", f"{place}/.", "/run/before")
    assert copied.returncode == 0, copied.stderr

    result = machine.rehearse_shell(f"/usr/bin/python3 /run/during.py {place}")
    assert result.complete, (result.unknowns, result.output)
    # Where the lower has no file handles, what was written under a name that is gone leaves no trace.
    blind = kind == "the root"
    assert [unknown.path for unknown in result.unknowns] == [f"{place}/hard/gone".encode()] * blind
    assert not differences(os.fsencode(machine.path("/run/before")), os.fsencode(machine.path(place)))
    told = {change.path.removeprefix(place.encode()): change.kinds for change in result.changes}
    partners = {change.path.removeprefix(place.encode()): change.other_names for change in result.changes}

    done = machine.run("python3", "/run/during.py", place)
    assert done.returncode == 0, done.stderr
    really = differences(os.fsencode(machine.path("/run/before")), os.fsencode(machine.path(place)))
    subprocess.run(["chattr", "-i", machine.path(f"{place}/flags")], check=True)

    # A change of a hard link is told once, with the other names; it happens under all of them.
    names = {b"/hard/a", b"/hard/b", b"/hard-c"}
    assert names <= really.keys()
    (told_as,) = names & told.keys()
    assert {told_as, *(name.removeprefix(place.encode()) for name in partners[told_as])} == names
    for name in names - {told_as}:
        del really[name]
    assert really[b"/hard/stays"] == {Kind.CONTENT}
    if blind:
        del really[b"/hard/stays"]
    assert told == really
    # The table is itself no less than it seems.
    assert {kind for kinds in told.values() for kind in kinds} == set(Kind) - {
        _ATTRIBUTES[name] for name in refused
    }
    assert b"/touched" not in told
    assert told[b"/same size"] == {Kind.CONTENT}


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_what_a_script_makes_changeable_first_is_seen_to_go(
    machine: Machine, tmp_path: Path, kind: str
) -> None:
    """chattr -i FILE; rm FILE. That chattr may fail where the flags are kept on tmpfs hides nothing."""
    mount_image(machine, made(tmp_path, kind), "/srv/disk")
    machine.write("/srv/disk/kept")
    subprocess.run(["chattr", "+i", machine.path("/srv/disk/kept")], check=True)
    machine.write("/run/chattr.py", _CHANGEABLE)
    result = machine.rehearse_shell("rm -f /srv/disk/kept || python3 /run/chattr.py; rm -f /srv/disk/kept")
    assert b"Operation not permitted" in result.output
    assert [change.path for change in result.changes if change.deleted] == [b"/srv/disk/kept"], result
    assert machine.read("/srv/disk/kept") == "kept\n"
    subprocess.run(["chattr", "-i", machine.path("/srv/disk/kept")], check=True)


@pytest.mark.parametrize(
    ("last", "known"),
    [
        ("rm /opt/two; echo new >/opt/new; mv /opt/new /opt/one", True),  # as dpkg does
        ("rm /opt/two; rm /opt/one", True),
        ("rm /opt/two; rm /opt/one; mkdir /opt/one", True),
        ("rm /opt/two; chmod 600 /opt/one", False),
        ("rm /opt/two", False),
    ],
)
def test_nothing_is_hidden_in_a_hard_link_of_which_each_name_is_deleted_or_has_another_content(
    machine: Machine, last: str, known: bool
) -> None:
    machine.write("/opt/one")
    os.link(machine.path("/opt/one"), machine.path("/opt/two"))
    result = machine.rehearse_shell(f"echo harm >>/opt/two; {last}")
    assert {b"/opt/two"} <= {change.path for change in result.changes if change.deleted}
    assert [unknown.path for unknown in result.unknowns] == ([] if known else [b"/opt/one"])
