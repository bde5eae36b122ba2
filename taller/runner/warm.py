"""El proceso caliente: importa una vez lo que tarda y hace `fork` para cada ejecución.

    python -m taller.runner.warm FD módulo…

De cada módulo, además de importarlo, ejecuta su función `warm_up()` si la tiene.

Por el socket FD llega, en cada petición, un byte con varios descriptores: la conexión de esa ejecución; si el byte es
`CONFINED`, la jaula en la que encerrarla; y, si lo hay, el socket en el que debe escuchar. Así no hay rutas que
limpiar, y quien pide se reconoce por tener el descriptor. Cuando se cierra el último extremo de FD, este proceso
termina.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys

from taller.runner.supervisor import supervise

READY = b"w"
REQUEST, CONFINED = b"r", b"c"


def main(arguments: list[str]) -> None:
    control = socket.socket(fileno=int(arguments[0]))
    os.set_inheritable(control.fileno(), False)
    for name in arguments[1:]:
        # Si falta en esta máquina y el ejercicio lo necesita, su propio import lo dirá.
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            getattr(module, "warm_up", _nothing)()
    gc.collect()
    # Lo importado no cambia ya: fuera del recolector, las páginas siguen compartidas tras cada fork.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.sendall(READY)
    with contextlib.suppress(ConnectionResetError):
        serve(control)


def serve(control: socket.socket) -> None:
    """Un supervisor por petición. La ejecución sale de aquí como `SystemExit`, igual que un programa normal."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            cell = descriptors.pop(1) if message == CONFINED else None
            connection, listener = map(_as_socket, [*descriptors, None][:2])
            assert connection
            supervise(connection, listener, cell)
        for descriptor in descriptors:
            os.close(descriptor)


def _nothing() -> None:
    """La mayoría de los módulos no tiene nada más que calentar."""


def _as_socket(descriptor: int | None) -> socket.socket | None:
    return None if descriptor is None else socket.socket(fileno=descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
