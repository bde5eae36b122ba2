"""La despedida de 9.3: dos procesos llenos de gente a los que les llega SIGTERM, y qué fue de cada uno."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from taller.checking import App, Launch, Matching, Mismatch, eventually, expect
from taller.services import Valkey
from taller.wire import SseClient, WebSocketClient

ID = Matching(r"\S+", "un id")
EXIT_SECONDS = 3.0


async def publish(app: App, room: str, text: str) -> None:
    await app.post(f"/rooms/{room}", json={"text": text}, status=204)


async def start_report(app: App) -> str:
    answer = (await app.post("/reports", status=202)).json()
    expect(answer, {"id": ID}, "la respuesta a POST /reports")
    return str(answer["id"])


async def orders(redis: Redis) -> set[str]:
    return {key async for key in redis.scan_iter("order:*")}


@dataclass
class Guests:
    """Lo que hay abierto en un proceso cuando le llega SIGTERM, y qué fue de ello."""

    app: App
    websocket: WebSocketClient
    stream: SseClient
    report_ids: list[str]
    journal: Path
    stack: AsyncExitStack
    order: asyncio.Task[httpx.Response] | None = None
    exit: str = ""
    reports: list[Any] = field(default_factory=list)

    async def terminate(self, redis: Redis) -> None:
        """SIGTERM con una petición recién empezada."""
        before = await orders(redis)
        self.order = asyncio.create_task(self.app.post("/orders", client=f"petición a {self.app.name}", within=2.0))
        self.stack.push_async_callback(forget, self.order)
        await eventually(lambda: orders(redis), lambda now: now > before, "un order:{id} nuevo en Redis")
        try:
            await self.app.terminate(EXIT_SECONDS)
        except Mismatch as alive:
            self.exit = str(alive.received)
        self.reports = [await redis.get(f"report:{report_id}") for report_id in self.report_ids]


@dataclass
class Farewell:
    """La despedida: dos procesos llenos de gente; se apaga uno y, después, el otro."""

    launch: Launch
    folder: Path
    server: Valkey
    stack: AsyncExitStack
    survivor_heard: Mismatch | None = None

    async def scene(self) -> "Farewell":
        room = f"despedida-{id(self)}"
        self.guests = [await self._fill(room, number) for number in (1, 2)]
        first, second = self.guests
        async with self.server.client(decode_responses=True) as redis:
            await first.terminate(redis)
            try:
                await publish(second.app, room, "¿seguís ahí?")
                await second.websocket.expect({"type": "message", "text": "¿seguís ahí?"})
                await second.stream.expect({"text": "¿seguís ahí?"}, event="message")
            except Mismatch as silence:
                self.survivor_heard = silence
            await second.terminate(redis)
        return self

    async def _fill(self, room: str, number: int) -> Guests:
        journal = self.folder / f"diario-{number}.txt"
        enter = self.stack.enter_async_context
        app = await enter(self.launch(env={"JOURNAL": str(journal)}, name=f"app {number}"))
        websocket = await enter(app.websocket(f"/ws/{room}", name=f"WebSocket {number}"))
        await websocket.expect({"type": "ready"})
        stream = await enter(app.sse(f"/events/{room}", name=f"flujo {number}"))
        await stream.expect({}, event="ready")
        reports = [await start_report(app) for _ in range(2)]
        return Guests(app, websocket, stream, reports, journal, self.stack)


async def forget(running: asyncio.Task[httpx.Response]) -> None:
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError, Mismatch):
        await running
