"""El escenario: PostgreSQL, Valkey, un buzón y dos procesos de la tienda que se pueden matar y levantar."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
from redis.asyncio import Redis
from websockets.asyncio.client import connect, unix_connect

from taller.runner import Run, Runner, start_runner
from taller.services import Mailbox, postgres, smtp, valkey

HERE = Path(__file__).parent
START_SECONDS = 20.0
LAST_SECONDS = 5.0

Name = Literal["a", "b"]


class Process:
    """Un proceso de la tienda, y cómo se habla con él."""

    def __init__(self, run: Run) -> None:
        assert run.address is not None
        self.run, self.address = run, run.address
        # uvicorn cierra las conexiones que llevan 5 s sin usarse: se dejan antes, para no ir a dar con una cerrándose.
        limits = httpx.Limits(keepalive_expiry=1)
        transport = httpx.AsyncHTTPTransport(uds=self.address.path or None, limits=limits)
        self.http = httpx.AsyncClient(transport=transport, base_url=self.address.http, timeout=20, trust_env=False)

    def websocket(self) -> connect:
        if self.address.path:
            return unix_connect(self.address.path, "ws://tienda/ws")
        return connect(f"ws://{self.address.host}:{self.address.port}/ws", proxy=None)

    async def close(self) -> None:
        await self.http.aclose()
        await self.run.close()


@dataclass
class Stage:
    runner: Runner
    mailbox: Mailbox
    redis: Redis
    env: dict[str, str]
    processes: dict[Name, Process] = field(default_factory=dict)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)  # los experimentos, de uno en uno: comparten los procesos

    @property
    def a(self) -> Process:
        return self.processes["a"]

    @property
    def b(self) -> Process:
        return self.processes["b"]

    async def start(self, name: Name) -> None:
        run = await self.runner.launch(HERE, "service:app", env=self.env, uvicorn={"log_level": "warning"})
        self.processes[name] = Process(await run.ready(START_SECONDS))

    async def died(self, name: Name) -> None:
        """Espera a que ese proceso haya muerto, y levanta otro en su lugar."""
        process = self.processes.pop(name)
        await process.run.ended(LAST_SECONDS)
        await process.close()
        await self.start(name)

    async def close(self) -> None:
        for process in self.processes.values():
            await process.close()


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """El orden importa: al salir se deshace al revés, y los servidores se van cuando ya no los usa nadie."""
    runner = start_runner(thorough=True)
    try:
        async with postgres() as database, valkey() as server, smtp() as mailbox, server.client() as redis:
            await asyncio.to_thread(runner.backend.wait_warm)
            env = {"DATABASE_URL": database.url, "REDIS_URL": server.url, "SMTP_URL": mailbox.url}
            stage = Stage(runner, mailbox, redis, env)
            await stage.start("a")
            await stage.start("b")
            try:
                yield stage
            finally:
                await stage.close()
    finally:
        runner.close()
