# SPDX-License-Identifier: GPL-3.0-or-later
"""Further ways out, looked for beyond the usual lists: see routes, which explains the two kinds."""

# ruff: noqa: E501 - the programs are kept as they run
from __future__ import annotations

from escape import witnesses
from escape.routes import Route

_FILE = witnesses.a_file_of_the_machine
_DEVICE = witnesses.a_device_node
_PROCESS = witnesses.properties_of_a_process
_HARM = "it would harm the machine that runs the tests"

WITNESSED = (
    Route("change the mode of a device node", "os.chmod('/dev/full', 0o640)", witness=_DEVICE),
    Route("change the owner of a device node", "os.chown('/dev/full', 1, 1)", witness=_DEVICE),
    Route("change the times of a device node", "os.utime('/dev/full', (5, 5))", witness=_DEVICE),
    Route(
        "change a device node through a descriptor",
        "fd = os.open('/dev/full', os.O_PATH); os.chmod('/proc/self/fd/%d' % fd, 0o604)",
        witness=_DEVICE,
    ),
    Route(
        "change a device node through a cover in /proc",
        "for name in ('keys', 'kcore', 'kallsyms', 'timer_list'):\n"
        "    try: os.chmod('/proc/' + name, 0o640)\n"
        "    except OSError: pass\n"
        "os.chmod('/dev/full', 0o640)",
        "it would change the machine's own /proc",
        witness=_DEVICE,
    ),
    Route(
        "change the mode of an entry of /proc",
        "os.chmod('/proc/cpuinfo', 0o440)",
        witness=witnesses.modes_in_proc,
    ),
    Route(
        "change the mode of any entry of /proc",
        "for directory, _, names in os.walk('/proc'):\n"
        "    if '/proc/%d' % os.getpid() in directory or directory.split('/')[2:3][0:1] and directory.split('/')[2].isdigit(): continue\n"
        "    for name in names:\n"
        "        try: os.chmod(directory + '/' + name, 0o600)\n"
        "        except OSError: pass",
        "it would change the machine's own /proc",
        witness=witnesses.modes_in_proc,
    ),
    Route(
        "crash into the machine's crash handler", "crash(sys.argv[1])", witness=witnesses.the_crash_handler
    ),
    Route(
        "signal by pidfd",
        "import signal\nsignal.pidfd_send_signal(os.pidfd_open(int(sys.argv[1])), 9)",
        witness=witnesses.a_process,
    ),
    Route(
        "kill all at once",
        "os.path.exists('/proc/' + sys.argv[1]) or os.fork() or os.kill(-1, 9)",
        _HARM,
        witness=witnesses.a_process,
    ),
    Route(
        "kill by process group",
        "os.killpg(int(sys.argv[1]), 9)",
        "the victim leads no group",
        witness=witnesses.a_process,
    ),
    Route(
        "change the nice value of a process",
        "os.setpriority(os.PRIO_PROCESS, int(sys.argv[1]), 7)",
        witness=_PROCESS,
    ),
    Route(
        "change the processors of a process", "os.sched_setaffinity(int(sys.argv[1]), {0})", witness=_PROCESS
    ),
    Route(
        "change the scheduler of a process",
        "os.sched_setscheduler(int(sys.argv[1]), os.SCHED_BATCH, os.sched_param(0))",
        witness=_PROCESS,
    ),
    Route(
        "change the limits of a process",
        "import resource\nresource.prlimit(int(sys.argv[1]), resource.RLIMIT_NOFILE, (33, 33))",
        witness=_PROCESS,
    ),
    Route(
        "change the input and output class of a process",
        "call(251, 1, int(sys.argv[1]), (3 << 13))",
        witness=_PROCESS,
    ),
    Route(
        "change the processes of all users",
        "call(141, 2, 0, 3); os.setpriority(os.PRIO_PROCESS, int(sys.argv[1]), 3)",
        _HARM,
        witness=_PROCESS,
    ),
    Route(
        "receive a descriptor from outside",
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1])\n"
        "_, fds, _, _ = socket.recv_fds(s, 10, 1)\n"
        "os.close(os.open('srv/escaped', os.O_WRONLY | os.O_CREAT, dir_fd=fds[0]))",
        witness=witnesses.a_descriptor_on_offer,
    ),
    Route(
        "name a release agent",
        "write('/sys/fs/cgroup/systemd/release_agent', sys.argv[1])",
        "this machine has no control groups of version 1",
        witness=witnesses.a_file,
    ),
    Route(
        "name a handler for crashes",
        "write('/proc/sys/kernel/core_pattern', sys.argv[1])",
        witness=witnesses.setting("/proc/sys/kernel/core_pattern", lambda token, _: token),
    ),
    Route(
        "set the host's name",
        "name = sys.argv[1].encode(); libc.sethostname(name, len(name))",
        witness=witnesses.setting("/proc/sys/kernel/hostname", lambda token, _: token),
    ),
    Route(
        "set the domain's name",
        "name = sys.argv[1].encode(); libc.setdomainname(name, len(name))",
        witness=witnesses.setting("/proc/sys/kernel/domainname", lambda token, _: token),
    ),
    Route(
        "name a program that loads modules",
        "write('/proc/sys/kernel/modprobe', sys.argv[1])",
        "this kernel may have no modules",
    ),
    Route(
        "register an interpreter",
        "libc.mount(b'b', b'/proc/sys/fs/binfmt_misc', b'binfmt_misc', 0, None)\n"
        "write('/proc/sys/fs/binfmt_misc/register', ':aptguardtest:E::aptguardtest::/bin/true:')",
        _HARM,
    ),
    Route(
        "write to shared memory of System V",
        "libc.shmat.restype = ctypes.c_void_p\na = libc.shmat(libc.shmget(int(sys.argv[1]), 4096, 0), None, 0)\nctypes.memmove(a, b'x', 1)",
        witness=witnesses.sysv_shared_memory,
    ),
    Route(
        "send to a message queue",
        "q = libc.mq_open(('/' + sys.argv[1]).encode(), os.O_WRONLY)\nlibc.mq_send(q, b'x', ctypes.c_size_t(1), 0)",
        witness=witnesses.a_message_queue,
    ),
    Route("write to a terminal of the machine", "write(sys.argv[1], 'x')", witness=witnesses.a_terminal),
    Route(
        "tell udev of a device",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)\n"
        "for group in (1, 2):\n"
        "    try: s.sendto(b'add@/devices/' + sys.argv[1].encode() + b'\\0ACTION=add\\0', (0, group))\n"
        "    except OSError: pass",
        witness=witnesses.listener_for_uevents,
    ),
    Route(
        "write into a FIFO of the machine",
        "fd = os.open('/srv/data/fifo', os.O_WRONLY | os.O_NONBLOCK); os.write(fd, b'x')",
        witness=witnesses.a_reader_of_a_fifo,
    ),
    Route(
        "work on a file that the machine has locked",
        "f = open('/srv/data/lock', 'r+')\n"
        "try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except OSError: pass\n"
        "f.write('x')",
        witness=witnesses.a_lock,
    ),
    Route("overwrite a file", "write('/srv/data/target', 'x')", witness=_FILE),
    Route("delete a file", "os.unlink('/srv/data/target')", witness=_FILE),
    Route(
        "change a file through a hard link",
        "os.link('/srv/data/target', '/srv/data/other'); os.truncate('/srv/data/other', 0)",
        witness=_FILE,
    ),
    Route(
        "change a file through its other name",
        "fd = os.open('/srv/data/partner', os.O_WRONLY); os.pwrite(fd, b'x', 0)",
        witness=_FILE,
    ),
    Route(
        "change a file through a shared mapping",
        "import mmap\nfd = os.open('/srv/data/target', os.O_RDWR)\nm = mmap.mmap(fd, 4096); m[0] = 66; m.flush()",
        witness=_FILE,
    ),
    Route(
        "make a mapping for reading writable",
        "import mmap\nfd = os.open('/srv/data/target', os.O_RDONLY)\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "a = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))\n"
        "libc.mprotect(ctypes.c_void_p(a), ctypes.c_size_t(4096), 3) == 0 and ctypes.memmove(a, b'x', 1)",
        "it is refused everywhere",
        witness=_FILE,
    ),
    Route(
        "truncate through a path descriptor",
        "fd = os.open('/srv/data/target', os.O_PATH); os.truncate('/proc/self/fd/%d' % fd, 0)",
        witness=_FILE,
    ),
    Route(
        "open a read descriptor again for writing",
        "fd = os.open('/srv/data/target', os.O_RDONLY); os.write(os.open('/proc/self/fd/%d' % fd, os.O_WRONLY), b'x')",
        witness=_FILE,
    ),
    Route(
        "clone or copy a range into a file",
        "write('/srv/data/source', 'B' * 4096)\n"
        "a, b = os.open('/srv/data/source', os.O_RDONLY), os.open('/srv/data/target', os.O_RDWR)\n"
        "try: fcntl.ioctl(b, 0x40049409, a)\n"
        "except OSError: os.copy_file_range(a, b, 4096)",
        witness=_FILE,
    ),
    Route(
        "punch a hole into a file",
        "fd = os.open('/srv/data/target', os.O_RDWR); libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4096))",
        witness=_FILE,
    ),
    Route(
        "change a file's mode through a descriptor for reading",
        "fd = os.open('/srv/data/target', os.O_RDONLY); os.fchmod(fd, 0o777)",
        witness=_FILE,
    ),
    Route("make a file immutable", "change_flags('/srv/data/target', 0x10)", witness=_FILE),
    Route(
        "give a file capabilities",
        "os.setxattr('/srv/data/target', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))",
        witness=_FILE,
    ),
    Route("leave a trace in access times", "open('/srv/data/target').read()", witness=_FILE),
    Route(
        "exchange a file with another",
        "write('/srv/data/new', 'x'); call(316, -100, b'/srv/data/new', -100, b'/srv/data/target', 2)",
        witness=_FILE,
    ),
    Route(
        "read into a file with sendfile",
        "write('/srv/data/new', 'x' * 100)\na, b = os.open('/srv/data/new', os.O_RDONLY), os.open('/srv/data/target', os.O_RDWR)\nos.sendfile(b, a, 0, 100)",
        witness=_FILE,
    ),
    Route(
        "write through a descriptor of the mount point's parent",
        "fd = os.open('/srv', os.O_RDONLY | os.O_DIRECTORY)\nos.chdir('/srv/data')\nos.fchdir(fd)\n"
        "os.close(os.open('data/../escaped', os.O_WRONLY | os.O_CREAT))",
    ),
    Route(
        "have the dynamic linker of others load a file",
        "write('/etc/ld.so.preload', '/srv/escaped'); write('/srv/escaped', 'x')",
    ),
    Route(
        "plant a unit, a cron job and a profile",
        "for p in ('/etc/systemd/system/x.service', '/etc/cron.d/x', '/etc/profile.d/x.sh', '/srv/escaped'):\n"
        "    os.makedirs(os.path.dirname(p), exist_ok=True); write(p, 'x')",
    ),
    Route(
        "write where the upper directories lie",
        "for base in ('/run', '/tmp', '/mnt', '/dev'):\n"
        "    for p in glob.glob(base + '/layers/*/upper') + glob.glob(base + '/root'): write(p + '/escaped', 'x')\n"
        "os.listdir('/srv/data'); write('/srv/data/escaped', 'x')",
    ),
    Route(
        "write through a process's root",
        "for p in glob.glob('/proc/*/root') + glob.glob('/proc/*/cwd'):\n"
        "    try: write(p + '/srv/escaped', 'x')\n"
        "    except OSError: pass",
        "it would write into whatever else runs here",
    ),
)

ANSWERED = (
    # /dev is the one overlay on which device nodes can be opened; /srv/node is one of the machine's.
    Route(
        "bring a device node of the machine into /dev",
        "ok, path = False, '/dev/' + sys.argv[1]\n"
        "for act in (os.rename, os.link, os.symlink):\n"
        "    try: act('/srv/node', path); os.close(os.open(path, os.O_RDONLY)); ok = True\n"
        "    except OSError: pass\n"
        "    try: os.unlink(path)\n"
        "    except OSError: pass\n"
        "answer(ok)",
    ),
    Route(
        "make another device out of a node in /dev",
        "ok, path = False, '/dev/' + sys.argv[1]\n"
        "for kind in (0o20600, 0o60600):\n"
        "    for device in (os.makedev(1, 11), os.makedev(7, 0), os.makedev(0, 0), os.stat('/dev/null').st_rdev):\n"
        "        try: os.mknod(path, kind, device); ok = ok or os.path.lexists(path); os.unlink(path)\n"
        "        except OSError: pass\n"
        "answer(ok)",
    ),
    Route(
        "take a descriptor out of a process", "answer(call(438, os.pidfd_open(os.getppid()), 0, 0)[0] >= 0)"
    ),
    Route(
        "advise on the memory of a process",
        "answer(call(440, os.pidfd_open(os.getppid()), 0, 0, 20, 0)[1] not in (EPERM, ENOSYS))",
    ),
    Route(
        "read the memory of a process",
        "b = ctypes.create_string_buffer(8)\nanswer(call(310, os.getppid(), 0, 0, 0, 0, 0)[0] >= 0)",
    ),
    Route(
        "compare processes",
        "answer(call(312, os.getpid(), os.getpid(), 0, 0, 0)[0] == 0)",
        "this kernel may be built without kcmp",
    ),
    Route("userfaultfd", "answer(call(323, 1)[0] >= 0)"),
    Route("join another session keyring", "answer(call(250, 1, b'aptguard-probe')[0] > 0)"),
    Route(
        "ask for a key, which runs a program outside",
        "answer(call(249, b'user', b'aptguard-nothing', b'x', 0)[1] not in (EPERM, ENOSYS))",
    ),
    Route("open a new file system", "answer(call(430, b'tmpfs', 0)[0] >= 0)"),
    Route("pick a mounted file system", "answer(call(433, -100, b'/srv/data', 0)[0] >= 0)"),
    Route(
        "change the flags of a mount",
        "answer(call(442, -100, b'/proc/sys', 0, bytes(32), 32)[1] not in (EPERM, ENOSYS))",
    ),
    Route(
        "move a mount",
        "answer(call(429, -100, b'/srv/data', -100, b'/nonexistent', 0)[1] not in (EPERM, ENOSYS))",
    ),
    Route(
        "swap to a file",
        "write('/srv/data/swap', 'x' * 4096); answer(call(167, b'/srv/data/swap', 0)[1] not in (0, EPERM))",
    ),
    Route(
        "freeze a file system",
        "fd = os.open('/srv/data', os.O_RDONLY)\ntry: fcntl.ioctl(fd, 0xC0045877, 0); answer(True)\nexcept OSError as error: answer(error.errno != EPERM)",
    ),
    Route(
        "trim a file system",
        "fd, b = os.open('/srv/data', os.O_RDONLY), bytearray(struct.pack('QQQ', 0, 1 << 40, 0))\ntry: fcntl.ioctl(fd, 0xC0185879, b); answer(struct.unpack('QQQ', b)[1] != 1 << 40)\nexcept OSError as error: answer(error.errno not in (EPERM, 25))",
        "a tmpfs cannot be trimmed",
    ),
    Route(
        "make a whiteout by hand",
        "os.mknod('/srv/data/w', 0o20600, 0); answer(os.path.lexists('/srv/data/w'))",
    ),
    Route(
        "have a rename make a whiteout",
        "write('/srv/data/r', 'x'); answer(call(316, -100, b'/srv/data/r', -100, b'/srv/data/r2', 4)[0] == 0)",
    ),
    Route(
        "mark a file for the overlay in the security namespace",
        "write('/srv/data/s', 'x'); os.setxattr('/srv/data/s', 'security.aptguard', b'x'); answer(True)",
    ),
    Route("use an inherited namespace", "answer(any([libc.setns(fd, 0) == 0 for fd in range(3, 300)]))"),
    Route(
        "find the namespace above",
        "fd = os.open('/proc/self/ns/pid', os.O_RDONLY)\ntry: fcntl.ioctl(fd, 0xB702); answer(True)\nexcept OSError: answer(False)",
        "the tests may run in the first pid namespace",
    ),
    Route(
        "enter the namespaces of a process",
        "answer(call(308, os.pidfd_open(os.getppid()), 0x04000000)[0] == 0)",
    ),
    Route(
        "open devices that matter",
        "answer(any(readable('/dev/' + d) for d in ('mem', 'port', 'kvm', 'net/tun', 'userfaultfd', 'vsock', 'hwrng', 'vda', 'sda', 'nvme0n1', 'btrfs-control', 'zram0', 'tty0', 'tty1', 'vcs1', 'console', 'ttyS0', 'rtc0', 'uinput', 'cuse', 'loop0', 'kmsg', 'autofs')))",
    ),
    Route(
        "a terminal that others control",
        "fd = os.open('/dev/tty', os.O_RDWR); answer(True)",
        "the tests may have no terminal",
    ),
    Route(
        "load a line discipline",
        "import pty\nm, s = pty.openpty()\ntry: fcntl.ioctl(s, 0x5423, struct.pack('i', 0)); answer(True)\nexcept OSError: answer(False)",
    ),
    Route(
        "an alarm that wakes the machine",
        "answer(call(283, 8, 0)[0] >= 0)",
        "the machine may have no clock that wakes it",
    ),
    Route(
        "lock memory without bound",
        "libc.mlockall(3); answer(not any(l.split()[:2] == ['VmLck:', '0'] for l in open('/proc/self/status')))",
    ),
    Route(
        "raise a limit",
        "import resource\nh = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]\nif h == -1: answer(False)\nelse: resource.setrlimit(resource.RLIMIT_MEMLOCK, (h, h + 4096)); answer(resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] > h)",
        "the limit may be infinite",
    ),
    Route(
        "run in real time",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); answer(os.sched_getscheduler(0) == os.SCHED_FIFO)",
        "the kernel's groups may have no real time",
    ),
    Route(
        "use privileged input and output",
        "call(251, 1, 0, (1 << 13) | 1); answer(call(252, 1, 0)[0] >> 13 == 1)",
    ),
    Route(
        "use pid 1's program file",
        "answer(os.open('/proc/1/task/1/exe', os.O_RDONLY) >= 0)",
        "pid 1 of the machine that runs the tests may refuse it too",
    ),
    Route(
        "use pid 1's mapped files",
        "answer(len(os.listdir('/proc/1/map_files')) > 0)",
        "pid 1 of the machine that runs the tests may refuse it too",
    ),
    Route(
        "read pid 1's environment",
        "answer(open('/proc/1/task/1/environ', 'rb').read(1) is not None)",
        "pid 1 of the machine that runs the tests may refuse it too",
    ),
    Route(
        "file capabilities give back what was dropped",
        "import shutil, subprocess\nshutil.copy('/usr/bin/python3', '/srv/data/p'); os.setxattr('/srv/data/p', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 21, 0, 0, 0))\n"
        "out = subprocess.run(['/srv/data/p', '-c', 'print(open(\"/proc/self/status\").read())'], capture_output=True, text=True).stdout\n"
        "answer(any(int(l.split()[1], 16) & (1 << 21) for l in out.splitlines() if l.startswith('CapEff')))",
    ),
    Route(
        "a set-user-ID program gives back what was dropped",
        "import shutil, subprocess\nshutil.copy('/usr/bin/python3', '/srv/s'); os.chmod('/srv/s', 0o4755)\n"
        "out = subprocess.run(['/srv/s', '-c', 'print(open(\"/proc/self/status\").read())'], capture_output=True, text=True, user=65534).stdout\n"
        "answer(any(int(l.split()[1], 16) & (1 << 21) for l in out.splitlines() if l.startswith('CapEff')))",
    ),
    Route(
        "trace a system call for others",
        "answer(os.path.exists('/sys/kernel/tracing/trace') or os.path.exists('/sys/kernel/debug/tracing'))",
        "it may not be mounted",
    ),
    Route(
        "enter real root by a file handle of a namespace",
        "h = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128)); m = ctypes.c_int()\nlibc.name_to_handle_at(-100, b'/srv/data', h, ctypes.byref(m), 0)\nanswer(call(304, -10002, ctypes.byref(h), 0)[0] >= 0)",
        "newer kernels only",
    ),
)

# Where the kernel lets it happen (6.1, whose check of such names is skipped when the BPF security module is
# on), it happens in the overlay only: this file is not on the machine.
IN_THE_OVERLAY = {"mark a file for the overlay in the security namespace": "/srv/data/s"}
