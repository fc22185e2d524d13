# SPDX-License-Identifier: GPL-3.0-or-later
"""A script cannot hide what it did: not from the report, not by an attack on the init process beside it."""

# ruff: noqa: E501 - the programs are kept as they run
from __future__ import annotations

import os
from dataclasses import replace

import pytest

import aptguard.rehearsal.rehearse as rehearse_module
from aptguard.rehearsal.model import DESTRUCTION, RehearsalResult, Step
from rehearsal.machine import LIMITS, Machine

pytestmark = pytest.mark.needs_root

_SHORT = replace(LIMITS, seconds=1.0)
VICTIM = b"/srv/data/victim"


def attack(machine: Machine, code: str) -> RehearsalResult:
    """Let Python code delete or change /srv/data/victim and hide it."""
    machine.write(VICTIM.decode(), "kept\n")
    return machine.rehearse(
        Step((b"/usr/bin/python3", b"-c", b"import os, signal, ctypes\n" + code.encode()))
    )


def told(result: RehearsalResult) -> bool:
    """Whether the deed is in the report, or the report says that it is not whole."""
    return VICTIM in {change.path for change in result.changes} or (
        not result.complete and bool(result.unknowns)
    )


_DELETE = "os.unlink('/srv/data/victim')\n"
_WAYS_TO_HIDE = {
    "restored times": "s = os.stat('/srv/data/victim')\n"
    "open('/srv/data/victim', 'w').write('lost\\n')\n"
    "os.utime('/srv/data/victim', ns=(s.st_atime_ns, s.st_mtime_ns))",
    "cut and filled to the same size": "os.truncate('/srv/data/victim', 0); os.truncate('/srv/data/victim', 5)",
    "marked as unchanged for the reader": "open('/srv/data/victim', 'w').write('lost\\n')\n"
    "for name in ('metacopy', 'origin', 'redirect', 'opaque', 'whiteout'):\n"
    "    try: os.setxattr('/srv/data/victim', 'user.overlay.' + name, b'')\n"
    "    except OSError: pass\n"
    "    try: os.setxattr('/srv/data/victim', 'trusted.overlay.' + name, b'')\n"
    "    except OSError: pass",
    "moved away under an odd name": "os.rename('/srv/data/victim', b'/srv/data/\\n\\xff' + b'x' * 250)",
    "covered by another": "open('/srv/data/n', 'w').write('kept?')\nos.rename('/srv/data/n', '/srv/data/victim')",
    "deleted through another root": "os.makedirs('/tmp/j/d', exist_ok=True); fd = os.open('/srv/data', os.O_RDONLY)\n"
    "os.chroot('/tmp/j'); os.fchdir(fd); os.unlink('victim')",
    "with the marks of another kind of overlay": "os.unlink('/srv/data/victim')\n"
    "os.mkdir('/srv/data/.wh.victim'); open('/srv/data/.wh..wh..opq', 'w')",
    "by a child that outlives it": "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        import time; time.sleep(0.2); os.unlink('/srv/data/victim')",
    "with all marks of the rehearsal deleted": _DELETE
    + "import shutil\nshutil.rmtree('/dev/.rehearsal', ignore_errors=True)",
    "by another user": "os.chmod('/srv/data', 0o777); os.setgroups([]); os.setgid(65534); os.setuid(65534); os.unlink('/srv/data/victim')",
}
_SIGNAL_ALL = "for n in range(1, 65):\n    try: os.kill(1, n)\n    except OSError: pass\n"
_ATTACKS_ON_INIT = {
    "signals": _SIGNAL_ALL,
    "limits": "import resource\nfor n in range(16):\n    try: resource.prlimit(1, n, (0, 0))\n    except (OSError, ValueError): pass\n",
    "priority": "os.setpriority(os.PRIO_PROCESS, 1, 19); os.sched_setaffinity(1, {0}); os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))\n",
    "its descriptors": "for n in range(300):\n"
    "    for p in ('/proc/1/fd/%d', '/proc/%d/fd/%%d' % os.getppid()):\n"
    '        try: os.write(os.open(p % n, os.O_WRONLY), b\'{"kind": "quiet"}\')\n'
    "        except OSError: pass\n",
    "our own pipes": "for n in (1, 2, 3):\n"
    "    try:\n"
    "        fd = os.open('/proc/self/fd/%d' % n, os.O_RDWR | os.O_NONBLOCK)\n"
    "        os.write(fd, b'{\"result\": {}}\\nprocessing: \\x1b[2Jpurge: x\\n'); os.read(fd, 65536); os.fchmod(fd, 0)\n"
    "    except OSError: pass\n",
    "the Python that it runs": "import glob\nfor p in glob.glob('/usr/lib/python3*/**/*.py', recursive=True) + glob.glob('/usr/lib/python3*/**/*.so', recursive=True):\n"
    "    open(p, 'w').write('import os; os.mkdir(\"/srv/data/ran-%d\" % os.getpid())')\n",
    "the place of its programs": "import shutil\nfor p in ('/usr/bin/python3', '/bin/sh', '/proc/1/exe'):\n"
    "    try: os.unlink(p)\n"
    "    except OSError: pass\n",
}


@pytest.mark.parametrize("way", _WAYS_TO_HIDE)
def test_a_deed_is_told_however_it_is_hidden(machine: Machine, way: str) -> None:
    assert told(attack(machine, _WAYS_TO_HIDE[way]))
    assert machine.read(VICTIM.decode()) == "kept\n"


@pytest.mark.parametrize("way", _ATTACKS_ON_INIT)
def test_an_attack_on_the_init_process_does_not_hide_a_deed(machine: Machine, way: str) -> None:
    result = attack(machine, _ATTACKS_ON_INIT[way] + _DELETE)
    assert told(result)
    assert b"/srv/data/ran-1" not in {change.path for change in result.changes}


@pytest.mark.parametrize("way", _ATTACKS_ON_INIT)
def test_an_attack_on_the_init_process_alone_is_no_way_out(machine: Machine, way: str) -> None:
    code = _ATTACKS_ON_INIT[way] + "import time\nwhile True: time.sleep(1)\n"
    machine.write(VICTIM.decode(), "kept\n")
    step = Step((b"/usr/bin/python3", b"-c", b"import os, signal, ctypes\n" + code.encode()))
    result = machine.rehearse(step, limits=_SHORT)
    assert not result.complete
    assert result.unknowns


_CALL = "lvremove -f vg/data || true; "
_WAYS_TO_LOSE_A_CALL = {
    "emptied": _CALL + ": >/dev/.rehearsal/calls",
    "emptied by its name": _CALL + "perl -e 'truncate(\"/dev/.rehearsal/calls\", 0)'",
    "deleted": _CALL + "rm -f /dev/.rehearsal/calls",
    "deleted and made anew": _CALL + "rm -f /dev/.rehearsal/calls; : >/dev/.rehearsal/calls",
    "moved away for a moment": "cd /dev/.rehearsal; mv calls c; " + _CALL + "mv c calls",
    "rewritten": _CALL + r"printf '3\\0@\\t/\\0sync\\0x\\0' >/dev/.rehearsal/calls",
    "rewritten from before": "exec 3<>/dev/.rehearsal/calls; "
    + _CALL
    + r"printf '3\\0@\\t/\\0sync\\0x\\0' >&3",
    "no room for files": "(ulimit -f 0; lvremove -f vg/data); true",
    "no descriptor left": "(ulimit -n 3; lvremove -f vg/data); true",
    "emptied by a program that has a stand-in": _CALL + "dd if=/dev/null of=/dev/.rehearsal/calls",
}


@pytest.mark.parametrize("way", _WAYS_TO_LOSE_A_CALL)
def test_a_call_that_destroys_is_told_or_its_record_is_unknown(machine: Machine, way: str) -> None:
    machine.write("/usr/sbin/lvremove", "#!/bin/sh\nexit 5\n", 0o755)
    result = machine.rehearse_shell(_WAYS_TO_LOSE_A_CALL[way])
    told_of = [effect for effect in result.effects if effect.kind == DESTRUCTION]
    assert told_of or any("running services" in unknown.what for unknown in result.unknowns), result
    untouched = machine.rehearse_shell(
        _CALL + "systemctl stop x; dd if=/dev/null of=/tmp/x; (lvremove -f vg/b) & wait"
    )
    assert untouched.unknowns == (), untouched.unknowns
    assert untouched.complete


@pytest.mark.parametrize("name", ["questions", "asked"])
@pytest.mark.parametrize("deed", [": >{}", "rm -f {}", "cp {0} {0}.x; mv {0}.x {0}", "echo x/y >>{}"])
def test_a_record_of_questions_that_a_script_touches_is_unknown(
    machine: Machine, name: str, deed: str
) -> None:
    result = machine.rehearse_shell(deed.format(f"/dev/.rehearsal/{name}"))
    assert result.unknowns


def test_the_init_process_imports_nothing_once_scripts_may_run(
    machine: Machine, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script can change the file that would be imported."""
    helper = os.path.join(tmp_path, "helper-that-imports.py")
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(rehearse_module.__file__))))
    with open(helper, "w", encoding="utf-8") as file:
        file.write(
            f"import sys\nsys.path.append({source!r})\n"
            "from aptguard.rehearsal import helper, sandbox\n"
            "real = sandbox._kill_the_rest\n"
            "def late():\n    import colorsys\n    real()\n"
            "sandbox._kill_the_rest = late\n"
            "sys.exit(helper.main(sys.argv[1:]))\n"
        )
    monkeypatch.setattr(rehearse_module, "_HELPER", helper)
    result = machine.rehearse_shell("exit 0")
    assert any("colorsys" in unknown.reason for unknown in result.unknowns), result.unknowns
    assert not result.complete
