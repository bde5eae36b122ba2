"""Los servidores que se miden: cómo se arranca cada uno, siempre en un núcleo para él, y cómo se le habla."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fanout.client import Load
from fanout.install import Missing, node_with_rivals, python_with_rivals
from taller.catalog import ROOT

RIVALS = Path(__file__).parent / "rivals"
PLAZA = ROOT / "solutions" / "10_proyecto"
START_SECONDS, STOP_SECONDS = 20.0, 5.0
SERVER_CORE, CLIENT_CORE = 0, 1
# Sin compresión, y sin que el latido corte al que no lee antes de que acabe la medida.
UVICORN = ("--host", "127.0.0.1", "--log-level", "warning")
UVICORN += ("--ws-per-message-deflate", "false", "--ws-ping-interval", "300")
# Lo que ocupa en el cable un mensaje de Plaza con este texto: los rivales envían otro tanto.
PLAZA_TEXT = "nos vemos a las ocho en la puerta"
RIVAL_TEXT = "x" * 195


@dataclass(frozen=True)
class Contender:
    """Uno de los que se miden. `command(puerto)` puede lanzar Missing."""

    name: str
    command: Callable[[int], tuple[Sequence[str], Mapping[str, str]]]
    frame: str = f"{{token}}{RIVAL_TEXT}"
    path: str = "/ws"
    hello: str = ""
    greeting: str = ""
    ready: str = ""

    def load(self, port: int, connections: int) -> Load:
        targets = [(port, self.path)] * connections
        return Load(targets, self.frame, self.hello, self.greeting, self.ready)


def _naive(port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    return uvicorn(sys.executable, "naive:app", port), {}


def _python(module: str) -> Callable[[int], tuple[Sequence[str], Mapping[str, str]]]:
    return lambda port: (uvicorn(python_with_rivals(), f"{module}:app", port), {})


def _node(script: str) -> Callable[[int], tuple[Sequence[str], Mapping[str, str]]]:
    def command(port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        node, env = node_with_rivals()
        return [node, str(RIVALS / script)], {**env, "PORT": str(port)}

    return command


SOCKET_IO = {
    "path": "/socket.io/?EIO=4&transport=websocket",
    "frame": f'42["say","{{token}}{RIVAL_TEXT}"]',
    "greeting": "0{",
    "hello": "40",
    "ready": "40{",
}
RIVAL_CONTENDERS = [
    Contender("bucle de la teoría", _naive),
    Contender("python-socketio", _python("python_socketio"), **SOCKET_IO),
    Contender("Django Channels (en memoria)", _python("django_channels")),
    Contender("Node `ws`", _node("ws.cjs")),
    Contender("Node socket.io", _node("socketio.cjs"), **SOCKET_IO),
]


def uvicorn(python: str, app: str, port: int) -> list[str]:
    return [python, "-m", "uvicorn", app, "--port", str(port), *UVICORN]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Lo que se arranque dentro se queda en ese núcleo. Donde no se puede fijar, se mide igual, con más ruido."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    chosen = sorted(cores)[core % len(cores)]
    os.sched_setaffinity(0, {chosen})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@dataclass
class Server:
    """Un proceso que escucha en un puerto."""

    command: Sequence[str]
    env: Mapping[str, str]
    port: int
    folder: Path = RIVALS
    process: "subprocess.Popen[bytes]" = field(init=False)

    @contextlib.contextmanager
    def running(self) -> Iterator["Server"]:
        with tempfile.TemporaryFile() as log:
            with pinned(SERVER_CORE):
                self.process = subprocess.Popen(
                    self.command,
                    cwd=self.folder,
                    env={**os.environ, **self.env},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                self._wait(log.fileno())
                yield self
            finally:
                self._stop()

    def _wait(self, log: int) -> None:
        limit = time.monotonic() + START_SECONDS
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise Missing(f"no arranca: {os.pread(log, 4000, 0).decode(errors='replace')[-500:]}")
            time.sleep(0.05)

    def _stop(self) -> None:
        # Con cientos de conexiones abiertas una despedida tarda; aquí no interesa.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serving(contender: Contender) -> Iterator[Server]:
    port = free_port()
    command, env = contender.command(port)
    with Server(command, env, port).running() as server:
        yield server
