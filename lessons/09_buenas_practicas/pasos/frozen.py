"""Una pestaña congelada, desde el terminal: se conecta y no lee nunca. Ctrl+C para cerrarla.

python frozen.py ws://127.0.0.1:8000/ws/ana?tab=congelada
"""

import socket
import sys
import threading
from urllib.parse import urlsplit

from websockets.sync.client import connect

DEFAULT = "ws://127.0.0.1:8000/ws/ana?tab=congelada"


# region congelada
def frozen(url: str) -> None:
    """Se conecta con un búfer de recepción pequeño y se queda quieta hasta que la interrumpan."""
    where = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((where.hostname, where.port))
    with connect(url, sock=sock, compression=None, ping_interval=None, max_queue=1, proxy=None):
        print("conectada, y sin leer", flush=True)
        threading.Event().wait()


# endregion


if __name__ == "__main__":
    frozen(sys.argv[1] if len(sys.argv) > 1 else DEFAULT)
