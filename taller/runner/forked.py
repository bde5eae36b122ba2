"""Ejecuciones por `fork` de un proceso caliente (Linux y macOS)."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from taller.catalog import ROOT
from taller.runner.run import Address, Exit, LaunchError, Run
from taller.runner.warm import READY, REQUEST

START_TIMEOUT = 30.0
LINE_LIMIT = 16 * 1024 * 1024


class WarmProcess:
    """Un proceso caliente propio, o el de otro proceso del que se ha heredado el descriptor `fd`."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self.control, self.process = control, process
        self.warm = process is None

    @classmethod
    def spawn(cls, modules: Sequence[str], inherited: Sequence[int] = (), env: Mapping[str, str] = os.environ) -> Self:
        """Lo lanza sin esperar a que esté caliente; `inherited` son descriptores que verán sus ejecuciones."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "taller.runner.warm", str(theirs.fileno()), *modules]
        with theirs:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(env),
                pass_fds=[theirs.fileno(), *inherited],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return cls(ours, process)

    @classmethod
    def inherit(cls, fd: int) -> Self:
        return cls(socket.socket(fileno=os.dup(fd)))

    def wait_warm(self) -> None:
        """Espera a que haya importado todo.

        Raises:
            LaunchError: no lo consiguió en `START_TIMEOUT` segundos.
        """
        if self.warm:
            return
        self.control.settimeout(START_TIMEOUT)
        with contextlib.suppress(TimeoutError):
            self.warm = self.control.recv(1) == READY
        self.control.settimeout(None)
        if not self.warm:
            raise LaunchError("El proceso que arranca las apps no se inició. Repara la instalación: python3 curso.py")

    def reserve(self, listener: socket.socket | None = None) -> socket.socket:
        """La conexión de una ejecución cuyo proceso ya existe y espera a saber qué ejecutar; `run` la usa."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno()] + ([listener.fileno()] if listener else [])
            socket.send_fds(self.control, [REQUEST], passed)
        return ours

    async def run(
        self,
        request: dict[str, Any],
        listener: socket.socket | None = None,
        address: Address | None = None,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        reserved: socket.socket | None = None,
    ) -> Run:
        """Pide una ejecución; `listener` es el socket en el que escuchará."""
        ours = reserved or self.reserve(listener)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT)
        writer.write(json.dumps(request).encode() + b"\n")

        def send(command: dict[str, Any]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(command).encode() + b"\n")

        run = Run(address, send, lambda: _hang_up(writer), on_event)
        run.keep(asyncio.create_task(_read_events(reader, writer, run)))
        return run

    def close(self) -> None:
        self.control.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(5)


def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Fin de la conexión por nuestro lado: el supervisor mata, limpia y cierra el suyo."""
    if not writer.is_closing():
        with contextlib.suppress(OSError):
            writer.write_eof()


async def _read_events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, run: Run) -> None:
    try:
        while line := await reader.readline():
            run.handle(json.loads(line))
    except (ConnectionError, ValueError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        run.finish(Exit(signal=9))
