# SPDX-License-Identifier: Apache-2.0
"""threads.py DIRECTORY: much of what Python has to do with the kernel, at once.

Makes DIRECTORY/ready when all of it runs, goes on until DIRECTORY/go is there, ends it in good order,
and writes OK, or what differs, to DIRECTORY/result.
"""
import asyncio
import mmap
import multiprocessing
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

where = sys.argv[1]
stop = threading.Event()
problems = []
counts = {}


def path(name):
    return os.path.join(where, name)


def step(name):
    counts[name] = counts.get(name, 0) + 1


class Ping:
    """Two threads that hand a number to each other under a lock and a condition."""

    def __init__(self):
        self.condition = threading.Condition()
        self.number = 0

    def run(self, mine):
        while True:
            with self.condition:
                assert self.condition.wait_for(lambda: self.number % 2 == mine or self.number < 0, timeout=30)
                if self.number < 0:
                    return
                self.number = -1 if stop.is_set() else self.number + 1
                self.condition.notify_all()
            step("condition")


def queues():
    """A bounded queue between a maker and a taker."""
    q = queue.Queue(maxsize=3)

    def take():
        want = 0
        while True:
            got = q.get(timeout=30)
            if got is None:
                return
            assert got == want, (got, want)
            want += 1
            step("queue")

    taker = guarded(take)
    n = 0
    while not stop.is_set():
        q.put(n, timeout=30)
        n += 1
    q.put(None)
    taker.join()


def timers():
    """A timer that makes the next one: each takes as long as it should, or longer."""
    while not stop.is_set():
        rung = threading.Event()
        begun = time.monotonic()
        timer = threading.Timer(0.01, rung.set)
        timer.start()
        assert rung.wait(30)
        timer.join()
        assert time.monotonic() - begun >= 0.01
        step("timer")


def sockets():
    """Numbers there and back over a stream socket, with a timeout, and over a datagram one."""
    a, b = socket.socketpair()
    c, d = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def echo():
        while True:
            data = b.recv(4096)
            if not data:
                return
            b.sendall(data)

    other = guarded(echo)
    a.settimeout(30)
    n = 0
    while not stop.is_set():
        text = f"{n}\n".encode() * 50
        a.sendall(text)
        got = b""
        while len(got) < len(text):
            got += a.recv(4096)
        assert got == text
        c.send(text)
        assert d.recv(4096) == text
        n += 1
        step("socket")
    a.close()
    other.join()


def children():
    """A child that answers over pipes, and a short-lived one again and again."""
    bc = subprocess.Popen([sys.executable, "-u", "-c", "import sys\nfor l in sys.stdin: print(int(l) * 2)"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    n = 0
    while not stop.is_set():
        bc.stdin.write(f"{n}\n")
        bc.stdin.flush()
        assert int(bc.stdout.readline()) == 2 * n
        n += 1
        if n % 20 == 0:
            assert subprocess.run(["true"], timeout=30).returncode == 0
        step("pipe")
    bc.stdin.close()
    assert bc.wait(30) == 0


def pools(pool):
    """Processes with semaphores and pipes of multiprocessing."""
    while not stop.is_set():
        assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        step("process")


def files():
    """A file that grows, one that is removed, memory that two share, and a lock."""
    log = open(path("log"), "w+")
    gone = tempfile.TemporaryFile(dir=where)
    gone.write(b"kept")
    shared = mmap.mmap(-1, 4096)
    held = os.memfd_create("held")
    os.write(held, b"in memory")
    n = 0
    while not stop.is_set():
        log.write(f"{n}\n")
        log.flush()
        shared[0:8] = n.to_bytes(8, "little")
        assert int.from_bytes(shared[0:8], "little") == n
        gone.seek(0)
        assert gone.read() == b"kept"
        assert os.pread(held, 100, 0) == b"in memory"
        n += 1
        step("file")
        time.sleep(0.001)
    log.seek(0)
    assert log.read() == "".join(f"{i}\n" for i in range(n))


async def loop():
    """asyncio: a server and clients, timers, a child."""

    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def client(n):
        reader, writer = await asyncio.open_unix_connection(path("loop.sock"))
        while not stop.is_set():
            writer.write(f"hello {n}\n".encode())
            await writer.drain()
            assert await asyncio.wait_for(reader.readline(), 30) == f"HELLO {n}\n".encode()
            await asyncio.sleep(0.001)
            step("asyncio")
        writer.close()

    async def child():
        while not stop.is_set():
            p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            out, _ = await asyncio.wait_for(p.communicate(b"meow"), 30)
            assert out == b"meow" and p.returncode == 0
            step("asyncio child")

    server = await asyncio.start_unix_server(serve, path("loop.sock"))
    async with server:
        await asyncio.gather(*(client(n) for n in range(5)), child())


def polls():
    """epoll on a pipe that is always written by somebody else, and poll with a timeout that is met."""
    r, w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ep = select.epoll()
    ep.register(r, select.EPOLLIN | select.EPOLLET)

    def write():
        while not stop.is_set():
            os.write(w, b"x")
            time.sleep(0.002)

    other = guarded(write)
    while not stop.is_set():
        assert ep.poll(30)
        try:
            while os.read(r, 4096):
                pass
        except BlockingIOError:
            pass
        begun = time.monotonic()
        assert select.select([r], [], [], 0) is not None
        time.sleep(0.003)
        assert time.monotonic() - begun >= 0.003
        step("epoll")
    other.join()


def guarded(fn, *args):
    def run():
        try:
            fn(*args)
        except BaseException:
            problems.append(f"{fn.__name__}: {traceback.format_exc(limit=-3)}")
            stop.set()

    thread = threading.Thread(target=run, name=fn.__name__)
    thread.start()
    return thread


def main():
    ticks = [0, 0]

    def tick(signum, frame):
        ticks[signum == signal.SIGALRM] += 1

    signal.signal(signal.SIGALRM, tick)
    signal.signal(signal.SIGUSR1, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    pool = multiprocessing.get_context("fork").Pool(2)
    ping = Ping()
    running = [guarded(ping.run, 0), guarded(ping.run, 1)]
    running += [guarded(fn) for fn in (queues, timers, sockets, children, files, polls)]
    running += [guarded(pools, pool), guarded(lambda: asyncio.run(loop()))]
    kinds = {"condition", "queue", "timer", "socket", "pipe", "process", "file", "epoll", "asyncio",
             "asyncio child"}
    while not problems and set(counts) != kinds:
        time.sleep(0.01)
    open(path("ready"), "w").close()
    while not problems and not os.path.exists(path("go")):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
    # each of them goes on, not only what was under way
    before, alarms, until = dict(counts), ticks[1], time.monotonic() + 30
    while not problems and (any(counts[k] < before[k] + 5 for k in kinds) or ticks[1] < alarms + 5):
        if time.monotonic() > until:
            problems.append(f"stands still: {before} {counts} {alarms} {ticks}")
        time.sleep(0.01)
    stop.set()
    for thread in running:
        thread.join(30)
        if thread.is_alive():
            problems.append(f"{thread.name} does not end")
    pool.close()
    pool.join()
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(counts, ticks, flush=True)


main()
with open(path("result.new"), "w") as f:
    f.write("\n".join(problems) + "\n" if problems else "OK\n")
os.rename(path("result.new"), path("result"))
os._exit(0)
