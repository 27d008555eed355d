# SPDX-License-Identifier: Apache-2.0
"""redis_client.py PORT MEGABYTES DIRECTORY [reconnect]: fills redis, then counts and writes keys without a stop.

Makes DIRECTORY/ready when redis is full, goes on until DIRECTORY/go is there, reads everything back,
and writes OK, or what differs, to DIRECTORY/result. Each answer must be the right one; with "reconnect"
a connection may break, and what was not answered may have been done or not.
"""
import hashlib
import os
import socket
import sys
import time

VALUE = 1 << 16
BATCH = 16


def value(key):
    return hashlib.shake_128(key.encode()).digest(VALUE)


class Redis:
    def __init__(self, port):
        until = time.monotonic() + 20
        while True:
            try:
                self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self.file = self.sock.makefile("rb")

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the connection ended at {line!r}")
        if line[:1] == b"$":
            n = int(line[1:])
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if line[:1] == b":":
            return int(line[1:])
        if line[:1] == b"+":
            return line[1:-2].decode()
        raise ValueError(line)

    def ask(self, *words):
        self.send(*words)
        return self.answer()


def main():
    port, megabytes, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    may_break = sys.argv[4:] == ["reconnect"]
    path = lambda name: os.path.join(where, name)
    redis = Redis(port)
    keys = megabytes * (1 << 20) // VALUE
    for first in range(0, keys, BATCH):
        batch = range(first, min(first + BATCH, keys))
        for i in batch:
            redis.send("SET", f"fill:{i}", value(f"fill:{i}"))
        for i in batch:
            assert redis.answer() == "OK"
    counted = broken = 0
    open(path("ready"), "w").close()
    while not os.path.exists(path("go")):
        try:
            now = redis.ask("INCR", "count")
            assert now == counted + 1 or (may_break and counted < now <= counted + 1 + broken), (now, counted)
            counted = now
            assert redis.ask("SET", f"key:{counted}", f"value of {counted}") == "OK"
        except (ConnectionError, socket.timeout):
            if not may_break:
                raise
            broken += 1
            redis = Redis(port)
    assert redis.ask("GET", "count") == str(counted).encode()
    for i in range(1, counted + 1):
        got = redis.ask("GET", f"key:{i}")
        assert got == f"value of {i}".encode() or (may_break and got is None), (i, got)
    for i in range(keys):
        assert redis.ask("GET", f"fill:{i}") == value(f"fill:{i}"), f"fill:{i}"
    assert redis.ask("DBSIZE") >= keys + 1
    if may_break:
        assert broken, "the connection did not break"
    print(f"{counted} counted, {broken} times broken", flush=True)


def run():
    where = sys.argv[3]
    try:
        main()
        text = "OK\n"
    except BaseException as e:
        text = f"{type(e).__name__}: {e}\n"
    with open(os.path.join(where, "result.new"), "w") as f:
        f.write(text)
    os.rename(os.path.join(where, "result.new"), os.path.join(where, "result"))


run()
