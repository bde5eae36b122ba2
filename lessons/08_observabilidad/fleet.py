"""Tres procesos detrás de un mismo puerto, como los pone `uvicorn --workers 3`, y treinta conexiones repartidas."""

import asyncio
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect

HERE = Path(__file__).parent
WORKERS, PEOPLE, SCRAPES = 3, 30, 8
START_SECONDS = 30.0
LISTENING = re.compile(rb"Uvicorn running on http://(\S+)")
READY = re.compile(rb"Application startup complete")


class Scrapes(BaseModel):
    """Lo que contesta cada lectura del gauge; `truth`, las conexiones abiertas de verdad."""

    truth: int
    mine: list[int]
    with_ghosts: list[int]
    everybody: list[int]


class Fleet:
    """La flota en marcha y sus conexiones, cada una con el pid del proceso que la atiende."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.held: dict[ClientConnection, int] = {}

    async def hold(self, people: int) -> None:
        """Abre conexiones hasta que haya `people`."""
        while len(self.held) < people:
            connection = await connect(f"ws://{self.address}/ws", ping_interval=None, proxy=None)
            self.held[connection] = int(json.loads(await connection.recv())["pid"])

    async def scrape(self) -> Scrapes:
        return Scrapes(
            truth=len(self.held),
            mine=await self._ask("/metrics/mine"),
            with_ghosts=await self._ask("/metrics/with-ghosts"),
            everybody=await self._ask("/metrics"),
        )

    async def _ask(self, path: str) -> list[int]:
        """Varias lecturas, cada una por una conexión nueva: la atiende el proceso que toque."""
        answers = []
        for _ in range(SCRAPES):
            async with httpx.AsyncClient(base_url=f"http://{self.address}", trust_env=False, timeout=10) as client:
                answers.append(gauge_in((await client.get(path)).text))
        return answers

    async def kill_the_busiest(self) -> int:
        """kill -9 al proceso con más conexiones; uvicorn levanta otro. Devuelve cuántas se han perdido."""
        ((pid, lost),) = Counter(self.held.values()).most_common(1)
        dead = [connection for connection, owner in self.held.items() if owner == pid]
        victim = psutil.Process(pid)
        victim.kill()
        await asyncio.to_thread(psutil.wait_procs, [victim], 5)
        for connection in dead:
            await connection.wait_closed()
            del self.held[connection]
        return lost

    async def close(self) -> None:
        for connection in self.held:
            connection.transport.abort()


def gauge_in(text: str) -> int:
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return int(found.get("websocket_connections", 0))


@asynccontextmanager
async def open_fleet() -> AsyncIterator[Fleet]:
    """
    Raises:
        TimeoutError: no llega a arrancar.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="taller-"))
        command = [sys.executable, "-m", "uvicorn", "fleet_worker:app", "--workers", str(WORKERS), "--port", "0"]
        server = await asyncio.create_subprocess_exec(
            *command,
            "--no-access-log",
            "--no-use-colors",
            cwd=HERE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        stack.push_async_callback(stop, server)
        async with asyncio.timeout(START_SECONDS):
            fleet = Fleet(await listening(server))
        # Su salida se sigue leyendo: si no, acabaría parada por escribir.
        draining = asyncio.create_task(drain(server))
        stack.callback(draining.cancel)
        stack.push_async_callback(fleet.close)
        yield fleet


async def listening(server: asyncio.subprocess.Process) -> str:
    """La dirección, cuando todos los procesos atienden ya."""
    assert server.stdout
    address, ready = "", 0
    async for line in server.stdout:
        if found := LISTENING.search(line):
            address = found[1].decode()
        ready += bool(READY.search(line))
        if address and ready == WORKERS:
            return address
    raise TimeoutError("la flota no arrancó")


async def drain(server: asyncio.subprocess.Process) -> None:
    assert server.stdout
    async for _ in server.stdout:
        pass


async def stop(server: asyncio.subprocess.Process) -> None:
    """Acaba con el proceso padre y con sus hijos, aunque alguno no quiera."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    for process in family:
        process.kill()
    await server.wait()
