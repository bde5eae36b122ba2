"""Ejecuciones en un proceso nuevo, para máquinas sin `fork` (Windows): tardan más, hacen lo mismo.

El proceso (`newborn`) se conecta a un puerto de quien lo pidió, en esta máquina, lee la petición y avisa por ahí.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from taller.catalog import ROOT
from taller.runner.cleaners import cleans
from taller.runner.run import Address, Exit, Run
from taller.services.supervisor import command_of, kill_each, process_tree

CONNECT_TIMEOUT = 30.0
# En Windows, `signal` no tiene SIGKILL.
KILL = 9


class FreshProcess:
    """Lo mismo que `WarmProcess`, pero cada ejecución importa todo otra vez."""

    def wait_warm(self) -> None:
        """No hay nada que calentar."""

    def reserve(self, listener: socket.socket | None = None) -> None:
        """Aquí no se puede adelantar trabajo: un proceso nuevo no comparte nada con los demás."""

    async def run(
        self,
        request: dict[str, Any],
        listener: socket.socket | None = None,
        address: Address | None = None,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        reserved: socket.socket | None = None,
    ) -> Run:
        """Pide una ejecución; se le pasa el puerto de `listener`, que aquí se cierra."""
        if listener is not None:
            request = {**request, "port": listener.getsockname()[1]}
            listener.close()
        connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        connected = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda reader, writer: connected.set_result((reader, writer)), "127.0.0.1", 0
        )
        process = await _spawn(server.sockets[0].getsockname()[1], request["env"])
        async with server:
            reader, writer = await asyncio.wait_for(connected, CONNECT_TIMEOUT)
        writer.write(json.dumps(request).encode() + b"\n")
        run = Run(address, lambda command: _obey(process, run, command), lambda: _kill(process), on_event)
        notes = asyncio.create_task(_read_notes(reader, run))
        log = asyncio.create_task(_read_log(process, run))
        run.keep(asyncio.create_task(_wait_exit(process, writer, [notes, log], run)))
        return run

    def close(self) -> None:
        """No queda nada que cerrar: cada ejecución tiene su proceso."""


async def _spawn(port: int, env: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "taller.runner.newborn",
        str(port),
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _kill(process: asyncio.subprocess.Process) -> None:
    """Lo mata con toda su descendencia, salvo a quienes limpian detrás de ella."""
    kill_each([each for each in process_tree(process.pid) if not cleans(command_of(each))])


def _obey(process: asyncio.subprocess.Process, run: Run, command: dict[str, Any]) -> None:
    if command == {"do": "signal", "number": KILL}:
        _kill(process)
    elif command["do"] == "signal":
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(command["number"])
    else:
        run.handle({"event": "synced", "id": command["id"]})


async def _read_notes(reader: asyncio.StreamReader, run: Run) -> None:
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            run.note(line.decode("utf-8", "replace"))


async def _read_log(process: asyncio.subprocess.Process, run: Run) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(65536):
        run.handle({"event": "log", "text": data.decode("utf-8", "replace")})


async def _wait_exit(
    process: asyncio.subprocess.Process,
    writer: asyncio.StreamWriter,
    readers: list[asyncio.Task[None]],
    run: Run,
) -> None:
    status = await process.wait()
    await asyncio.wait(readers, timeout=1.0)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    run.finish(Exit(status) if status >= 0 else Exit(signal=-status))
