# SPDX-License-Identifier: Apache-2.0
"""console.py SOCKET FIFO LOG: the caller's side of a terminal.

Takes a terminal from each connection to SOCKET, writes to the newest one what comes out of FIFO, and
appends to LOG what it prints. Ends when FIFO says "end of console".
"""
import os
import select
import socket
import sys

sock_path, fifo, log = sys.argv[1:]
os.chdir(os.path.dirname(sock_path))
server = socket.socket(socket.AF_UNIX)
# under its name one can connect to it
server.bind("new.sock")
server.listen()
os.rename("new.sock", os.path.basename(sock_path))
typed = os.open(fifo, os.O_RDWR)
out = open(log, "ab", buffering=0)
tty = None
while True:
    for fd in select.select([server, typed] + ([tty] if tty is not None else []), [], [])[0]:
        if fd is server:
            conn = server.accept()[0]
            _, fds, _, _ = socket.recv_fds(conn, 4096, 1)
            conn.close()
            if tty is not None:
                os.close(tty)
            tty = fds[0]
            out.write(b"[a terminal]\n")
            break
        if fd == typed:
            text = os.read(typed, 4096)
            if text == b"end of console\n":
                sys.exit()
            os.write(tty, text)
        elif fd == tty:
            try:
                text = os.read(tty, 4096)
            except OSError:
                text = b""
            if text:
                out.write(text)
            else:
                os.close(tty)
                tty = None
                out.write(b"[hung up]\n")
                break
