# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways out of a rehearsal, each a small program that is run as root inside.

A route with a witness changes something that the test sees from outside. One that only answers prints
REACHED when the kernel would have let it go on; its arguments are chosen so that nothing happens then.
"""

# ruff: noqa: E501 - the programs are kept as they run
from __future__ import annotations

from dataclasses import dataclass

from escape import witnesses
from escape.witnesses import Witness

PRELUDE = r"""
import ctypes, os, socket, struct, sys, glob, fcntl
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[
        a if isinstance(a, ctypes._SimpleCData) or hasattr(a, "_obj") else
        ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()
EPERM, ENOSYS, EACCES = 1, 38, 13
def answer(reached): print("REACHED" if reached else "refused")
def write(path, text):
    with open(path, "w") as file: file.write(text)
"""


@dataclass(frozen=True, slots=True)
class Route:
    """``code`` is Python. ``unproved`` says why it is not shown to work without the rehearsal."""

    name: str
    code: str
    unproved: str = ""
    witness: Witness = witnesses.a_file


_PID_1 = "pid 1 of the machine that runs the tests may refuse it too"
_NOT_BUILT = "the kernel that runs the tests may be built without it"

KSM_PAGES = witnesses.setting(
    "/sys/kernel/mm/ksm/pages_to_scan", lambda _, now: "101" if now != "101" else "100"
)
SWAPPINESS = witnesses.setting("/proc/sys/vm/swappiness", lambda _, now: "61" if now != "61" else "60")

# Judged by a file /srv/escaped that would stand on the machine or on the real host, or by another witness.
WITNESSED = (
    Route("kill a process outside", "os.kill(int(sys.argv[1]), 9)", witness=witnesses.a_process),
    Route(
        "kill everything that can be seen",
        "for p in os.listdir('/proc'):\n"
        "    if not p.isdigit() or int(p) == os.getpid(): continue\n"
        "    try: os.kill(int(p), 0) or print('saw', p)\n"
        "    except ProcessLookupError: pass\n"  # it ended meanwhile
        "os.kill(int(sys.argv[1]), 9)",
        witness=witnesses.a_process,
    ),
    Route(
        "write through the root of pid 1", "write('/proc/1/root/srv/escaped', 'x')", "pid 1 is the real host"
    ),
    Route(
        "climb out of a chroot",
        "os.makedirs('/tmp/jail', exist_ok=True); fd = os.open('/', os.O_RDONLY)\n"
        "os.chroot('/tmp/jail'); os.fchdir(fd)\n"
        "for _ in range(40): os.chdir('..')\n"
        "os.chroot('.'); write('/srv/escaped', 'x')",
    ),
    Route(
        "use an inherited descriptor",
        "for fd in range(3, 300):\n"
        "    try: os.close(os.open('srv/escaped', os.O_WRONLY | os.O_CREAT, dir_fd=fd))\n"
        "    except OSError: pass",
    ),
    Route(
        "unmount everything and write below",
        "for line in reversed(open('/proc/self/mountinfo').read().splitlines()):\n"
        "    libc.umount2(line.split()[4].encode(), 2)\n"
        "write('/srv/escaped', 'x')",
        "it would take the machine apart",
    ),
    Route("change /sys", "write('/sys/kernel/mm/ksm/pages_to_scan', sys.argv[1])", witness=KSM_PAGES),
    Route("change a kernel setting", "write('/proc/sys/vm/swappiness', sys.argv[1])", witness=SWAPPINESS),
    Route(
        "change a kernel setting after a remount",
        "libc.mount(b'none', b'/proc/sys', None, 32, None); libc.umount2(b'/proc/sys', 2)\n"
        "write('/proc/sys/vm/swappiness', sys.argv[1])",
        witness=SWAPPINESS,
    ),
    Route(
        "talk to an abstract socket",
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1])",
        witness=witnesses.listener("abstract"),
    ),
    Route(
        "talk to a socket on disk",
        "s = socket.socket(socket.AF_UNIX); s.connect('/srv/door')",
        witness=witnesses.listener("/srv/door"),
    ),
    Route(
        "talk to a socket below /run",
        "s = socket.socket(socket.AF_UNIX); s.connect('/run/door')",
        witness=witnesses.listener("/run/door"),
    ),
    Route(
        "talk to the loopback",
        "socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)",
        witness=witnesses.listener("loopback"),
    ),
    Route(
        "make a control group",
        "[os.mkdir(d + '/' + sys.argv[1]) for d in cgroups()]",
        witness=witnesses.a_control_group,
    ),
    Route(
        "write into the kernel's log",
        "open('/dev/kmsg', 'w').write(sys.argv[1] + '\\n')",
        witness=witnesses.the_kernel_log,
    ),
    Route("write to a file of another mount", "write('/srv/data/escaped', 'x')"),
    Route(
        "leave something in shared memory",
        "write('/dev/shm/' + sys.argv[1], 'x')",
        witness=witnesses.shared_memory_file,
    ),
)

ANSWERED = (
    Route(
        "make a device node and open it",
        "ok = False\n"
        "for d in ('/', '/tmp/', '/run/', '/var/tmp/', '/dev/', '/dev/shm/'):\n"
        "    try: os.mknod(d + 'node', 0o20600, os.makedev(1, 5)); os.close(os.open(d + 'node', os.O_RDONLY)); ok = True\n"
        "    except OSError: pass\n"
        "    try: os.unlink(d + 'node')\n"
        "    except OSError: pass\n"
        "answer(ok)",
    ),
    Route("open a device node that lies on the machine", "answer(os.open('/srv/node', os.O_RDONLY) >= 0)"),
    Route(
        "open the loop control",
        "answer(os.open('/dev/loop-control', os.O_RDONLY) >= 0)",
        "no such device here",
    ),
    Route("open fuse", "answer(os.open('/dev/fuse', os.O_RDWR) >= 0)"),
    Route("mount a tmpfs", "answer(libc.mount(b'x', b'/mnt', b'tmpfs', 0, None) == 0)"),
    Route(
        "mount fresh kernel file systems",
        "answer(any(libc.mount(k, b'/mnt', k, 0, None) == 0 for k in (b'sysfs', b'devtmpfs', b'proc', b'cgroup2', b'debugfs')))",
    ),
    Route("make a user namespace", "answer(libc.unshare(0x10000000) == 0)"),
    Route(
        "make a user namespace by clone",
        "p, e = call(56, 0x10000000 | 17, 0, 0, 0, 0)\nif p == 0: os._exit(0)\nanswer(p > 0)",
    ),
    Route("make namespaces by clone3", "answer(call(435, 0, 0)[1] not in (EPERM, ENOSYS))"),
    Route("enter a namespace", "answer(call(308, os.open('/proc/self/ns/uts', 0), 0)[0] == 0)"),
    Route("reboot", "answer(call(169, 0xfee1dead, 672274793, 0x12345, 0)[1] == 22)"),
    Route("switch swap off", "answer(call(168, b'/nonexistent')[1] == 2)"),
    Route("start accounting", "answer(call(163, b'/nonexistent')[1] == 2)"),
    Route("fanotify", "answer(call(300, 0, 0)[0] >= 0)"),
    Route("bpf", "answer(call(321, 0, 0, 0)[1] not in (EPERM, ENOSYS))"),
    Route(
        "perf events of the whole machine",
        "a = struct.pack('II', 1, 128) + bytes(120)\nanswer(call(298, a, -1, 0, -1, 0)[0] >= 0)",
    ),
    Route("read the kernel's log", "answer(call(103, 10, 0, 0)[0] >= 0)"),
    Route("quotactl", "answer(call(179, 0x800001 << 8, b'/dev/vda', 0, 0)[1] not in (EPERM, ENOSYS))"),
    Route("io_uring", "answer(call(425, 1, bytes(120))[1] != ENOSYS)"),
    Route("set the clock", "answer(call(227, 0, struct.pack('qq', 0, -1))[1] == 22)"),
    Route(  # ADJ_TICK, to what it is
        "adjust the clock",
        "t = ctypes.create_string_buffer(208); libc.adjtimex(t); struct.pack_into('I', t, 0, 0x4000)\n"
        "answer(libc.adjtimex(t) >= 0)",
    ),
    Route("find a key of the user", "answer(call(250, 10, -4, b'user', sys.argv[1].encode(), 0)[0] > 0)"),
    Route("add a key", "answer(call(248, b'user', b'aptguard-probe', b'x', 1, -2)[0] > 0)"),
    Route(
        "open a file by handle",
        "h = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128)); m = ctypes.c_int()\n"
        "call(303, -100, ctypes.byref(h), 0, 0) if False else None\n"
        "libc.name_to_handle_at(-100, b'/srv/data', h, ctypes.byref(m), 0)\n"
        "fd = os.open('/srv/data', os.O_RDONLY)\n"
        "answer(libc.open_by_handle_at(fd, h, os.O_RDONLY) >= 0)",
    ),
    Route("an audit socket", "answer(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).fileno() >= 0)"),
    Route("a packet socket", "answer(socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno() >= 0)"),
    Route("a vsock socket", "answer(socket.socket(40, socket.SOCK_STREAM).fileno() >= 0)"),
    Route(
        "a kernel crypto socket", "answer(socket.socket(38, socket.SOCK_SEQPACKET).fileno() >= 0)", _NOT_BUILT
    ),
    Route(
        "trace a process",
        "p = os.fork()\nif p == 0:\n    import time; time.sleep(5); os._exit(0)\n"
        "r = call(101, 16, p, 0, 0)[0]; os.kill(p, 9); answer(r == 0)",
    ),
    Route("read pid 1's memory", "answer(os.open('/proc/1/mem', os.O_RDONLY) >= 0)", _PID_1),
    Route(
        "use pid 1's descriptors",
        "answer(any(readable(p) for p in glob.glob('/proc/1/fd/*')))",
        _PID_1,
    ),
    # /proc/1/root, exe and environ are there in a rehearsal, and show its own root and copies: not these.
    Route("enter pid 1's root", "answer(len(os.listdir('/proc/1/task/1/root/')) > 0)", _PID_1),
    Route("read the kernel's memory image", "answer(len(open('/proc/kcore', 'rb').read(4)) > 0)", _NOT_BUILT),
    Route("read the keys of others", "answer(len(open('/proc/keys').read()) > 0)", "there may be none"),
    Route(
        "mount a writable /sys",
        "os.mkdir('/srv/sys'); answer(libc.mount(b's', b'/srv/sys', b'sysfs', 0, None) == 0)",
    ),
    Route(
        "push input into a terminal",
        "import pty\nm, s = pty.openpty()\ntry: fcntl.ioctl(s, 0x5412, b'x'); answer(True)\nexcept OSError: answer(False)",
    ),
    Route(
        "gain a dropped capability",
        "answer(call(126, struct.pack('Ii', 0x20080522, 0), struct.pack('6I', 1 << 21, 1 << 21, 0, 0, 0, 0))[0] == 0)",
    ),
    Route("bind a directory", "answer(libc.mount(b'/etc', b'/mnt', None, 4096, None) == 0)"),
    Route("open_tree", "answer(call(428, -100, b'/', 1)[0] >= 0)"),
    Route("pivot_root", "answer(call(155, b'/nonexistent', b'/nonexistent')[1] == 2)"),
    Route(
        "load a module",
        "answer(call(313, -1, b'', 0)[1] not in (EPERM, ENOSYS))",
        "this kernel may have no modules",
    ),
    Route(
        "see another process",
        "answer(any(p.isdigit() and int(p) not in (1, os.getpid(), os.getppid()) for p in os.listdir('/proc')))",
    ),
    Route(
        "see a network card",
        "answer(any(name != 'lo' for _, name in socket.if_nameindex()))",
        "the host may have none",
    ),
    Route(
        "trigger sysrq",
        "fd = os.open('/proc/sysrq-trigger', os.O_WRONLY); answer(os.fstat(fd).st_dev == os.stat('/proc/version').st_dev)",
        "not on this kernel",
    ),
    Route(
        "raise priority",
        "os.setpriority(os.PRIO_PROCESS, 0, -5); answer(os.getpriority(os.PRIO_PROCESS, 0) == -5)",
    ),
    Route(
        "mark an overlay by hand",
        "os.mkdir('/srv/data/m'); os.setxattr('/srv/data/m', 'trusted.overlay.opaque', b'y'); answer(True)",
    ),
    Route("read raw ports", "answer(call(172, 3)[0] == 0)", _NOT_BUILT),
)

HELPERS = r"""
def cgroups():
    found = []
    for directory in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup'):
        if os.path.exists(directory + '/cgroup.procs'): found.append(directory)
    return found or ['/sys/fs/cgroup']
def writable(path):
    try: os.close(os.open(path, os.O_WRONLY)); return True
    except OSError: return False
def readable(path):
    try: os.close(os.open(path, os.O_RDONLY)); return True
    except OSError: return False
def change_flags(path, flags):
    fd = os.open(path, os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack('q', flags))
def crash(name):
    import resource
    pid = os.fork()
    if pid == 0:
        for limit in (0, resource.RLIM_INFINITY):
            try: resource.setrlimit(resource.RLIMIT_CORE, (limit, resource.RLIM_INFINITY))
            except (ValueError, OSError): pass
        os.chdir('/tmp')
        libc.prctl(15, name.encode(), 0, 0, 0)
        os.kill(os.getpid(), 11)
    os.waitpid(pid, 0)
"""


def program(route: Route) -> str:
    """Return the whole program of ``route``."""
    return PRELUDE + HELPERS + route.code + "\n"
