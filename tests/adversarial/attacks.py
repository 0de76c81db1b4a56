# SPDX-License-Identifier: Apache-2.0
"""What hostile code tries from inside: each a program of the image's Python, and what has to become of it.

A verdict is the reason of the command (exited, wall_timeout, ...), or the word with which the sandbox itself ended
(OOM_KILLED). Where several are right, which one it is depends on how far the program gets in its time; the reason
is said. "hold" keeps what was taken until the time is over.
"""

from typing import NamedTuple

PRELUDE = """
import ctypes, errno, fcntl, mmap, os, resource, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def hold():
    while True:
        time.sleep(1)
def forks(n, what):
    for i in range(n):
        try:
            if os.fork() == 0:
                try:
                    what(i)
                finally:
                    os._exit(0)
        except OSError:
            break
def until_refused(what, most=1 << 30):
    kept = []
    try:
        while len(kept) < most:
            kept.append(what())
    except (OSError, MemoryError):
        pass
    return kept
def most_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
"""

TIMED = frozenset(["wall_timeout"])
OOM = frozenset(["OOM_KILLED"])
EITHER = TIMED | OOM
DONE = frozenset(["exited"])
ENOUGH_SECONDS = 45  # what ends by itself or for want of memory does so long before
SECONDS = 7


class Attack(NamedTuple):
    name: str
    verdicts: frozenset
    why: str
    source: str
    seconds: float = SECONDS
    limits: dict = {}
    quick: bool = False  # of the one round that every change is tried with


ATTACKS = [
    # ---- processes ---------------------------------------------------------------------------------
    Attack("fork bomb", TIMED, "each tries for ever, and the first one is there to the end", """
while True:
    try:
        os.fork()
    except OSError:
        pass
""", quick=True),
    Attack("fork and end", TIMED, "numbers of processes are used up and come back", """
while True:
    try:
        pid = os.fork()
    except OSError:
        continue
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""),
    Attack("zombies", TIMED, "nobody waits for them; at the limit no more come", """
until_refused(lambda: os.fork() or os._exit(0))
hold()
""", quick=True),
    Attack("daemons deaf to signals", DONE, "the command has ended, they live on until the sandbox goes", """
def daemon(_):
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if os.fork() == 0:
        for number in (1, 2, 3, 15, 20):
            signal.signal(number, signal.SIG_IGN)
        for fd in range(3):
            os.close(fd)
        hold()
forks(20, daemon)
os._exit(0)
""", ENOUGH_SECONDS, quick=True),
    Attack("all stand still", TIMED, "a stopped process ends with its time like any other", """
def stand(_):
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)
forks(20, stand)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGSTOP)
""", quick=True),
    Attack("they trace each other", TIMED, "a tracer keeps who is stopped; both are killed all the same", """
PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206
def traced(i):
    if i % 2 == 0:
        libc.ptrace(PTRACE_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        for pid in range(2, 60):
            libc.ptrace(PTRACE_ATTACH if i % 3 else PTRACE_SEIZE, pid, 0, 0)
    hold()
forks(20, traced)
hold()
""", quick=True),
    Attack("a parent that waits for its vfork", TIMED, "the child never lets it go on", """
libc.vfork.restype = ctypes.c_int
if libc.vfork() == 0:
    libc.pause()
"""),
    Attack("signals without end to process 1", TIMED, "the agent takes none of them", """
def storm(_):
    while True:
        for number in (1, 2, 3, 9, 10, 15, 17, 19, 20, 34, 64):
            try:
                os.kill(1, number)
            except OSError:
                pass
forks(8, storm)
storm(0)
""", quick=True),
    Attack("queued signals", TIMED, "as many as one user may have", """
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))
def queue(_):
    while libc.sigqueue(os.getpid(), 40, ctypes.c_void_p(1)) == 0:
        pass
    hold()
forks(20, queue)
hold()
"""),
    Attack("signals to all", frozenset(["wall_timeout", "signalled", "exited"]),
           "kill(-1) reaches neither process 1 nor the caller, which goes on", """
while True:
    try:
        os.kill(-1, signal.SIGSTOP)
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    forks(3, lambda _: hold())
"""),
    # ---- processors --------------------------------------------------------------------------------
    Attack("spinning in every process", TIMED, "processor time is what was granted", """
def spin(_):
    while True:
        pass
forks(60, spin)
spin(0)
""", quick=True),
    Attack("spinning in every thread", TIMED, "the same with threads", """
import hashlib
data = bytes(1 << 20)
def spin():
    while True:
        hashlib.sha256(data).digest()
try:
    for _ in range(60):
        threading.Thread(target=spin, daemon=True).start()
except RuntimeError:
    pass
spin()
"""),
    Attack("priorities", TIMED, "neither niceness nor class nor a processor of one's own gains anything", """
def push(i):
    for what in (lambda: os.nice(-20), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99)),
                 lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(50)),
                 lambda: os.sched_setaffinity(0, {i % os.cpu_count()}),
                 lambda: open("/proc/self/oom_score_adj", "w").write("-1000"),
                 lambda: open("/proc/self/autogroup", "w").write("-20")):
        try:
            what()
        except OSError:
            pass
    while True:
        os.sched_yield()
forks(40, push)
push(0)
""", quick=True),
    Attack("programs started for ever", TIMED, "execve with all that an argument list can hold", """
argv = ["x" * 131000] * 12
os.environ.clear()
for i in range(3):
    os.environ["E%d" % i] = "y" * 131000
os.execv(sys.executable, [sys.executable, "-S", "-c", "import os, sys\\n"
         "while True: os.execv(sys.executable, [sys.executable, '-S', '-c', sys.argv[1], *sys.argv[1:]])",
         "import os, sys\\nos.execv(sys.executable, [sys.executable, '-S', '-c', sys.argv[1], *sys.argv[1:]])",
         *argv])
"""),
    Attack("crashes", TIMED, "no core is written anywhere", """
while True:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    os.waitpid(pid, 0)
"""),
    Attack("timers", EITHER, "each is counted as memory and as a queued signal", """
timer = ctypes.c_void_p()
def make():
    if libc.timer_create(0, None, ctypes.byref(timer)) != 0:
        raise OSError
    spec = struct.pack("qqqq", 0, 1000, 0, 1000)
    libc.timer_settime(timer, 0, spec, None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
def many(_):
    until_refused(make)
    hold()
forks(20, many)
hold()
"""),
    # ---- memory ------------------------------------------------------------------------------------
    Attack("memory", OOM, "it has no more than was granted", """
kept = []
while True:
    kept.append(bytes(bytearray(1 << 20)))
""", ENOUGH_SECONDS, quick=True),
    Attack("memory of many", OOM, "no process is large, all together are", """
def grow(_):
    kept = []
    while True:
        kept.append(bytes(bytearray(1 << 16)))
        time.sleep(0.001)
forks(50, grow)
hold()
""", ENOUGH_SECONDS),
    Attack("memory protected from the kernel", OOM, "nobody can ask to be spared", """
try:
    open("/proc/self/oom_score_adj", "w").write("-1000")
except OSError:
    pass
libc.mlockall(7)
kept = []
while True:
    kept.append(bytes(bytearray(1 << 20)))
""", ENOUGH_SECONDS),
    Attack("files in /dev/shm", OOM, "pages of tmpfs are memory", """
with open("/dev/shm/x", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
""", ENOUGH_SECONDS, quick=True),
    Attack("many files in /tmp", OOM, "so are its inodes and names", """
n = 0
while True:
    n += 1
    open("/tmp/%0200d" % n, "w").close()
""", ENOUGH_SECONDS),
    Attack("memfd", OOM, "files without a name are memory", """
kept = until_refused(lambda: os.memfd_create("x"), 8)
while True:
    for fd in kept:
        os.write(fd, bytes(1 << 20))
""", ENOUGH_SECONDS),
    Attack("System V shared memory", OOM, "segments outlive who made them, not the sandbox", """
libc.shmat.restype = ctypes.c_void_p
def segment():
    key = libc.shmget(0, 8 << 20, 0o1600)
    if key < 0:
        raise OSError
    ctypes.memset(libc.shmat(key, None, 0), 1, 8 << 20)
until_refused(segment)
hold()
""", ENOUGH_SECONDS, quick=True),
    Attack("System V queues and semaphores", EITHER, "as many as a namespace may have, and they are memory", """
def queue():
    key = libc.msgget(0, 0o1600)
    if key < 0:
        raise OSError
    message = struct.pack("q", 1) + bytes(8000)
    while libc.msgsnd(key, message, 8000, 0o4000) == 0:
        pass
def semaphores():
    if libc.semget(0, 1000, 0o1600) < 0:
        raise OSError
until_refused(semaphores, 20000)
until_refused(queue)
hold()
"""),
    Attack("POSIX queues", EITHER, "one user's share", """
rt = ctypes.CDLL("librt.so.1", use_errno=True)
def queue():
    queue.n += 1
    if rt.mq_open(b"/q%d" % queue.n, os.O_CREAT | os.O_RDWR, 0o600, None) < 0:
        raise OSError
queue.n = 0
until_refused(queue)
hold()
"""),
    Attack("page tables", OOM, "tables for memory that is not there are memory", """
maps = [mmap.mmap(-1, 1 << 37, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ) for _ in range(8)]
for one in maps:
    libc.madvise(ctypes.c_void_p(0), 0, 0)
    for at in range(0, 1 << 37, 1 << 21):
        one[at]
hold()
""", ENOUGH_SECONDS, quick=True),
    Attack("many mappings", EITHER, "each is memory of the kernel", """
def maps(_):
    kept = until_refused(lambda: mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                                           mmap.PROT_READ if len(str(time.time())) % 2 else mmap.PROT_WRITE))
    hold()
forks(30, maps)
hold()
"""),
    Attack("mappings of more than the limit", EITHER, "pages of files come and go", """
with open("/big", "wb") as file:
    until_refused(lambda: file.write(bytes(1 << 20)), 110)
fd = os.open("/big", os.O_RDWR)
size = os.fstat(fd).st_size
one = mmap.mmap(fd, size)
while True:
    for at in range(0, size, 4096):
        one[at] = 1
"""),
    Attack("page cache", TIMED, "pages that can be read again are given back for others", """
with open("/big", "wb") as file:
    until_refused(lambda: file.write(bytes(1 << 20)), 100)
while True:
    for root in ("/big", sys.executable):
        with open(root, "rb") as file:
            while file.read(1 << 20):
                pass
""", quick=True),
    Attack("names that are not there", TIMED, "what the kernel remembers of them can be forgotten", """
n = 0
while True:
    n += 1
    os.access("/none/%d" % n, 0)
    os.access("/tmp/%0250d" % n, 0)
"""),
    # ---- descriptors -------------------------------------------------------------------------------
    Attack("pipes", EITHER, "their pages are memory; one user has a share", """
most_files()
def fill():
    r, w = os.pipe()
    try:
        fcntl.fcntl(w, 1031, 1 << 20)
    except OSError:
        pass
    os.set_blocking(w, False)
    try:
        while True:
            os.write(w, bytes(65536))
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
    return r, w
def many(_):
    kept = until_refused(fill)
    hold()
forks(20, many)
many(0)
""", quick=True),
    Attack("unix sockets", OOM, "what waits in them is memory", """
most_files()
def fill():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for one in pair:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        one.setblocking(False)
        try:
            while True:
                one.send(bytes(1 << 16))
        except BlockingIOError:
            pass
    return pair
kept = until_refused(fill)
hold()
""", ENOUGH_SECONDS, quick=True),
    Attack("descriptors on their way", EITHER, "sent to oneself and closed, they still count", """
most_files()
def send():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    try:
        for _ in range(100):
            socket.send_fds(a, [b"x"], fds + [a.fileno(), b.fileno()])
    finally:
        for fd in fds:
            os.close(fd)
def many(_):
    until_refused(send, 1000)
    hold()
forks(10, many)
hold()
"""),
    Attack("TCP buffers", EITHER, "on version 1 they have a limit of their own, which all sockets together pass", """
most_files()
server = socket.create_server(("127.0.0.1", 0), backlog=4096)
def fill():
    one = socket.create_connection(server.getsockname())
    other = server.accept()[0]
    for end in (one, other):
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(1 << 16))
        except BlockingIOError:
            pass
    return one, other
kept = until_refused(fill)
hold()
""", quick=True),
    Attack("UDP buffers", EITHER, "the same for datagrams nobody reads", """
most_files()
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setblocking(False)
def fill():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    for _ in range(300):
        try:
            sender.sendto(bytes(8000), one.getsockname())
        except BlockingIOError:
            break
    return one
kept = until_refused(fill)
hold()
"""),
    Attack("netlink", EITHER, "answers that nobody reads", """
most_files()
def fill():
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    one.setblocking(False)
    try:
        for _ in range(100):
            one.send(struct.pack("IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
    except OSError:
        pass
    return one
def many(_):
    kept = until_refused(fill)
    hold()
forks(10, many)
hold()
"""),
    Attack("descriptors", EITHER, "each process as many as it may; each is memory", """
most_files()
def many(_):
    kept = until_refused(lambda: os.open("/dev/null", os.O_RDONLY))
    hold()
forks(60, many)
many(0)
""", quick=True),
    Attack("terminals", TIMED, "as many as one sandbox may have; the host keeps a reserve", """
kept = until_refused(lambda: os.open("/dev/ptmx", os.O_RDWR))
hold()
"""),
    Attack("watched files", EITHER, "one user's share of watches", """
most_files()
def instance():
    fd = libc.inotify_init1(0)
    if fd < 0:
        raise OSError
    for i in range(2000):
        os.makedirs("/tmp/w/%d" % i, exist_ok=True)
        if libc.inotify_add_watch(fd, b"/tmp/w/%d" % i, 0xfff) < 0:
            break
    return fd
kept = until_refused(instance)
hold()
"""),
    Attack("epoll", EITHER, "each watches all others", """
most_files()
pipes = until_refused(os.pipe, 1000)
def instance():
    one = select.epoll()
    for r, w in pipes:
        one.register(r)
        one.register(w)
    return one
kept = until_refused(instance)
hold()
"""),
    Attack("keys", TIMED, "there are none to be had", """
SYS_add_key = 248
n = 0
while libc.syscall(SYS_add_key, b"user", b"k%d" % n, bytes(1000), 1000, -2) >= 0:
    n += 1
hold()
"""),
    Attack("locks", EITHER, "each range is memory of the kernel", """
fd = os.open("/tmp/locked", os.O_RDWR | os.O_CREAT)
def lock():
    lock.at += 2
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, lock.at)
lock.at = 0
until_refused(lock)
hold()
""", limits={"memory_gb": 0.0625}),
    # ---- disks -------------------------------------------------------------------------------------
    Attack("a full disk", TIMED | {"disk_full"}, "the disk ends where its size says", """
def write(i):
    with open("/full%d" % i, "wb") as file:
        while True:
            try:
                file.write(bytes(1 << 20))
            except OSError:
                time.sleep(0.01)
forks(4, write)
hold()
""", quick=True),
    Attack("small files without end", TIMED | {"disk_full"}, "inodes end, too", """
n = 0
while True:
    n += 1
    try:
        os.close(os.open("/f%d" % n, os.O_CREAT | os.O_WRONLY))
        os.symlink("x" * 100, "/l%d" % n)
    except OSError:
        time.sleep(0.01)
""", quick=True),
    Attack("sparse and reserved files", TIMED | {"disk_full"}, "what is reserved counts, what is not there does not", """
def file(i):
    fd = os.open("/s%d" % i, os.O_RDWR | os.O_CREAT)
    while True:
        for what in (lambda: os.ftruncate(fd, 1 << 43), lambda: os.posix_fallocate(fd, 0, 1 << 40),
                     lambda: os.posix_fallocate(fd, 1 << 30, 64 << 20), lambda: os.pwrite(fd, b"x", 1 << 42),
                     lambda: os.fsync(fd), lambda: os.ftruncate(fd, 0)):
            try:
                what()
            except OSError:
                pass
forks(4, file)
hold()
"""),
    Attack("writing through", TIMED, "each block waits for the disk", """
fd = os.open("/sync", os.O_RDWR | os.O_CREAT)
while True:
    os.pwrite(fd, os.urandom(4096), 4096 * (time.monotonic_ns() % 1000))
    os.fsync(fd)
    os.sync()
"""),
    Attack("a path without end", TIMED | DONE | {"disk_full"}, "it can be deleted whatever its length", """
try:
    for n in range(20000):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
except OSError:
    pass
"""),
    Attack("links and attributes", TIMED | {"disk_full"}, "each costs what it costs", """
open("/a", "w").close()
n = 0
while True:
    n += 1
    try:
        os.link("/a", "/h%d" % n)
        os.setxattr("/a", "user.%d" % n, bytes(3000))
        os.rename("/h%d" % n, "/" + "r" * 200 + str(n % 100))
    except OSError:
        pass
"""),
    # ---- output ------------------------------------------------------------------------------------
    Attack("output without end", TIMED, "what is kept of it is bounded", """
while True:
    os.write(1, b"x" * 65536)
    os.write(2, b"y" * 65536)
""", quick=True),
    Attack("output that is no text", TIMED, "each byte of it becomes several of the answer", """
line = os.urandom(32768) + bytes(32768)
while True:
    os.write(1, line)
    os.write(2, line)
"""),
    Attack("output up to a limit", frozenset(["output_limit"]), "the limit of the command's output", """
while True:
    os.write(1, bytes(65536))
""", limits={"output_bytes": 1 << 20}),
    Attack("logs on the disk", TIMED | {"disk_full"}, "of programs that write on when their command has gone", """
def log(i):
    os.setsid()
    fd = os.open("/var/log/%d" % i, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    while True:
        try:
            os.write(fd, b"x" * 65536)
        except OSError:
            time.sleep(0.01)
forks(5, log)
hold()
"""),
    Attack("processor time up to a limit", frozenset(["cpu_timeout"]), "the limit of the command's processor time", """
forks(3, lambda _: [None for _ in iter(int, 1)])
while True:
    pass
""", ENOUGH_SECONDS, {"cpu_time": 0.5}),
    Attack("memory up to a limit", frozenset(["oom"]), "the command's own limit ends the command alone", """
kept = []
while True:
    kept.append(bytes(bytearray(1 << 20)))
""", ENOUGH_SECONDS, {"memory_bytes": 64 << 20}),
]
