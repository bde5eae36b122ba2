"""El experimento del apagado: un servidor de verdad, un flujo abierto, SIGTERM y un cronómetro."""

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

import httpx
from pydantic import BaseModel

STEPS = Path(__file__).parent / "pasos"
START_DEADLINE = 15.0
PATIENCE = 3.0
LISTENING = re.compile(rb"Uvicorn running on (\S+)")


class Variant(StrEnum):
    NATIVE = "native"
    STARLETTE = "starlette"
    DEADLINE = "deadline"


COMMANDS = {
    Variant.NATIVE: ["paso_4:app"],
    Variant.STARLETTE: ["paso_5:app"],
    Variant.DEADLINE: ["paso_4:app", "--timeout-graceful-shutdown", "1"],
}


class Outcome(BaseModel):
    """`seconds` desde SIGTERM; `killed` si hubo que matarlo; `log`, lo que dijo el servidor desde entonces."""

    seconds: float
    killed: bool
    log: list[str]


async def try_shutdown(variant: Variant) -> Outcome:
    """
    Raises:
        TimeoutError: el servidor no llegó a arrancar.
    """
    async with serving(COMMANDS[variant]) as (server, address), open_stream(f"{address}/events"):
        assert server.stdout
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        killed = not await ended(server)
        seconds = time.monotonic() - started
        if killed:
            server.kill()
        log = (await server.stdout.read()).decode(errors="replace")
    return Outcome(seconds=round(seconds, 2), killed=killed, log=told(log))


@asynccontextmanager
async def serving(options: list[str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    command = [sys.executable, "-m", "uvicorn", *options, "--port", "0", "--no-use-colors", "--no-access-log"]
    pipe, together = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    server = await asyncio.create_subprocess_exec(*command, cwd=STEPS, stdout=pipe, stderr=together)
    try:
        async with asyncio.timeout(START_DEADLINE):
            yield server, await listening_address(server)
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def listening_address(server: asyncio.subprocess.Process) -> str:
    assert server.stdout
    async for line in server.stdout:
        if found := LISTENING.search(line):
            return found[1].decode()
    raise TimeoutError("el servidor del experimento no arrancó")


@asynccontextmanager
async def open_stream(url: str) -> AsyncIterator[None]:
    """Un cliente con el flujo abierto y su primer evento ya recibido."""
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url, timeout=5) as response:
        lines = response.aiter_lines()  # mientras exista, el flujo sigue abierto
        while not (await anext(lines)).startswith("data:"):
            pass
        yield


async def ended(server: asyncio.subprocess.Process) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await server.wait()
    except TimeoutError:
        return False
    return True


def told(log: str) -> list[str]:
    """Lo que importa del registro: las líneas de uvicorn y del `finally`, sin trazas."""
    return [line for line in log.splitlines() if re.match(r"INFO|ERROR", line)]
