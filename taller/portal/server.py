"""Sirve el portal en esta máquina hasta Ctrl+C o SIGTERM."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from taller.catalog import ROOT
from taller.checker import Checker
from taller.errors import TallerError
from taller.portal.app import create_app
from taller.portal.hub import Hub

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 8000, 8100
# Para lo que se esté contestando al apagar; los flujos terminan antes.
GRACE_S = 1


class PortalError(TallerError):
    """El portal no se puede abrir; el mensaje termina con la orden que lo arregla."""


class PortalServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self.hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Los flujos terminan antes que nada: si no, uvicorn esperaría por ellos hasta cansarse."""
        self.hub.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Da por atendidas las señales: uvicorn las repetiría al terminar y cortaría al que llama."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


async def serve_portal(port: int | None, on_ready: Callable[[str], None], root: Path = ROOT) -> None:
    """Sirve el curso en `port`, o en el primero libre desde el 8000; `on_ready` recibe su dirección.

    Raises:
        PortalError: el puerto está ocupado.
    """
    with open_port(port) as listener, Checker.start() as checker:
        app = create_app(root, checker)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S)
        on_ready(f"http://{LOOPBACK}:{listener.getsockname()[1]}/")
        await PortalServer(config, app.state.pieces.hub).serve(sockets=[listener])


def open_port(port: int | None) -> socket.socket:
    candidates = range(FIRST_PORT, LAST_PORT) if port is None else [port]
    for candidate in candidates:
        with contextlib.suppress(OSError, OverflowError):
            return socket.create_server((LOOPBACK, candidate))
    if port is None:
        raise PortalError(
            f"Los puertos {FIRST_PORT} a {LAST_PORT - 1} están ocupados. Elige otro: python3 curso.py --puerto 9000"
        )
    other = port + 1 if 1024 <= port < 65535 else FIRST_PORT
    raise PortalError(f"El puerto {port} está ocupado. Elige otro: python3 curso.py --puerto {other}")
