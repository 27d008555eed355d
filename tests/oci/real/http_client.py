# SPDX-License-Identifier: Apache-2.0
"""http_client.py PORT DIRECTORY PATH...: asks for files without a stop, on connections that stay and on new ones.

A path that begins with "+" is asked for on a new connection each time; of one that begins with "-" the
server closes it. Makes DIRECTORY/ready after the first answers, goes on until DIRECTORY/go is there, and
writes OK, or what differs, to DIRECTORY/result. With MAY_BREAK in the environment connections may break,
and have to.
"""
import hashlib
import http.client
import os
import sys
import threading

port, where, paths = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
may_break = "MAY_BREAK" in os.environ
first, done, problems, breaks = threading.Barrier(len(paths) + 1), threading.Event(), [], []


def connect():
    return http.client.HTTPConnection("127.0.0.1", port, timeout=20)


def ask(connection, path, headers):
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ValueError(f"{path}: status {answer.status}")
    return hashlib.sha256(body).hexdigest()


def load(path):
    anew, headers = path[0] in "+-", {"Connection": "close"} if path[0] == "-" else {}
    path = path.lstrip("+-")
    asked = 0
    connection = connect()
    want = ask(connection, path, headers)
    first.wait()
    while not done.is_set():
        try:
            if anew:
                connection.close()
                connection = connect()
            got = ask(connection, path, headers)
            asked += 1
            if got != want:
                raise ValueError(f"{path}: another body")
        except (OSError, http.client.HTTPException) as e:
            if not may_break:
                raise
            breaks.append(repr(e))
            connection.close()
            connection = connect()
            done.wait(0.01)
    print(f"{path}: {asked}", flush=True)


def guarded(path):
    try:
        load(path)
    except BaseException as e:
        problems.append(f"{path}: {type(e).__name__}: {e}")
        first.abort()


threads = [threading.Thread(target=guarded, args=(path,)) for path in paths]
for t in threads:
    t.start()
try:
    first.wait()
    open(os.path.join(where, "ready"), "w").close()
except threading.BrokenBarrierError:
    pass
while not os.path.exists(os.path.join(where, "go")) and not problems:
    threading.Event().wait(0.02)
done.set()
for t in threads:
    t.join()
if may_break and not breaks:
    problems.append("no connection broke")
print(breaks, flush=True)
with open(os.path.join(where, "result.new"), "w") as f:
    f.write("\n".join(problems) + "\n" if problems else "OK\n")
os.rename(os.path.join(where, "result.new"), os.path.join(where, "result"))
