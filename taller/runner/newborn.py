"""El otro lado de `fresh`: lo que corre en el proceso nuevo.

python -m taller.runner.newborn PUERTO
"""

import contextlib
import importlib
import json
import os
import socket
import sys
import threading
from typing import Any

CONNECT_TIMEOUT = 30.0


def die_with(connection: socket.socket) -> None:
    """Sin supervisor, la vida de este proceso depende de que quien lo pidió siga al otro lado."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    connection = socket.create_connection(("127.0.0.1", int(arguments[0])), CONNECT_TIMEOUT)
    stream = connection.makefile("rw", encoding="utf-8", newline="\n")
    request = json.loads(stream.readline())
    connection.settimeout(None)
    listener = socket.create_server(("127.0.0.1", request["port"])) if "port" in request else None

    def notify(note: dict[str, Any]) -> None:
        stream.write(json.dumps(note) + "\n")
        stream.flush()

    threading.Thread(target=die_with, args=(connection,), daemon=True).start()
    sys.exit(importlib.import_module(request["entry"]).main(request["payload"], listener, notify))


if __name__ == "__main__":
    main(sys.argv[1:])
