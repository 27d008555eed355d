# SPDX-License-Identifier: Apache-2.0
"""sqlite.py DIRECTORY: transactions without a stop, with a log beside the file that readers share memory for."""
import os
import sqlite3
import sys
import threading

where = sys.argv[1]
stop = threading.Event()
problems = []


def open_it():
    db = sqlite3.connect(os.path.join(where, "db"), timeout=30, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    return db


def read():
    db = open_it()
    while not stop.is_set():
        n, total = db.execute("select count(*), total(n) from t").fetchone()
        if total != n * (n - 1) / 2:
            problems.append(f"{n} rows, {total} in all")
            return
    db.close()


def guarded_read():
    try:
        read()
    except BaseException as e:
        problems.append(repr(e))


db = open_it()
db.execute("create table t (n integer primary key, text)")
reader = threading.Thread(target=guarded_read)
reader.start()
n = 0
try:
    while not problems and not os.path.exists(os.path.join(where, "go")):
        db.execute("begin immediate")
        for _ in range(10):
            db.execute("insert into t values (?, ?)", (n, f"row {n}" * 20))
            n += 1
        db.execute("commit")
        if n == 500:
            open(os.path.join(where, "ready"), "w").close()
except BaseException as e:
    problems.append(repr(e))
stop.set()
reader.join()
if db.execute("pragma integrity_check").fetchone() != ("ok",):
    problems.append("the file is damaged")
if db.execute("select count(*) from t").fetchone() != (n,):
    problems.append("rows are lost")
print(f"{n} rows", flush=True)
with open(os.path.join(where, "result.new"), "w") as f:
    f.write("\n".join(problems) + "\n" if problems else "OK\n")
os.rename(os.path.join(where, "result.new"), os.path.join(where, "result"))
