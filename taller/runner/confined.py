"""Ejecuciones dentro de una jaula, por `fork` del mismo proceso caliente."""

import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from taller.runner.forked import WarmProcess
from taller.runner.run import Address, Run
from taller.runner.runner import INHERITED_ENV
from taller.runner.warm import CONFINED

# Lo único que sabe del mundo una app encerrada, aparte de lo que el ejercicio le diga.
ENVIRONMENT = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


class ConfinedProcess(WarmProcess):
    """Un proceso caliente de otro, cuyas ejecuciones nacen en la jaula `cell`, con su usuario `uid`.

    `shared` es un descriptor de la carpeta de la jaula que comparten las apps con quien las comprueba.
    """

    def __init__(self, control: int, cell: int, uid: int | None, shared: int) -> None:
        super().__init__(socket.socket(fileno=control))
        self.cell, self.uid, self.shared = cell, uid, shared

    def reserve(self, listener: socket.socket | None = None) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), self.cell] + ([listener.fileno()] if listener else [])
            socket.send_fds(self.control, [CONFINED], passed)
        return ours

    async def run(
        self,
        request: dict[str, Any],
        listener: socket.socket | None = None,
        address: Address | None = None,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        reserved: socket.socket | None = None,
    ) -> Run:
        told = {name: value for name, value in request["env"].items() if name not in INHERITED_ENV}
        request = {**request, "uid": self.uid, "env": {**told, **ENVIRONMENT}}
        return await super().run(request, listener, address, on_event, reserved)

    async def command(self, argv: Sequence[str]) -> Run:
        """Arranca un programa cualquiera: un servidor de los que el código del estudiante puede mandar."""
        return await self.run({"entry": "taller.runner.command", "payload": {"argv": list(argv)}, "env": {}})
