"""Un viaje medido: un cambio por el proceso A, y cuándo se entera quien mira por el proceso B."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx
from httpx_sse import aconnect_sse
from pydantic import BaseModel
from stage import Process, Stage

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.01

Kind = Literal["naive", "right"]


class Step(BaseModel):
    """Un paso y cuándo se dio, en ms desde que salió la petición."""

    name: Literal["database", "cache", "answer", "publish", "websocket", "sse", "reread", "mail"]
    at: float


class Trip(BaseModel):
    """Los pasos por el orden en que se dieron, y lo que se leyó al recibir la noticia."""

    kind: Kind
    steps: list[Step]
    version: int
    reread: int


async def new_order(stage: Stage) -> int:
    """Un pedido recién creado, y leído: está en la caché."""
    created = (await stage.a.http.post("/orders", json={"item": "té verde"})).raise_for_status().json()
    order_id: int = created["id"]
    await read(stage.b, order_id)
    return order_id


async def read(process: Process, order_id: int) -> int:
    """La versión que se lee del pedido."""
    version: int = (await process.http.get(f"/orders/{order_id}")).raise_for_status().json()["version"]
    return version


async def change(process: Process, kind: str, order_id: int, status: str = "shipped", **options: str) -> httpx.Response:
    return await process.http.put(f"/{kind}/orders/{order_id}", json={"status": status, **options})


@asynccontextmanager
async def websocket_news(process: Process) -> AsyncIterator[AsyncIterator[dict[str, int]]]:
    """Las noticias que llegan a un WebSocket de ese proceso, ya dispuesto."""
    async with process.websocket() as websocket:
        await websocket.recv()

        async def received() -> AsyncIterator[dict[str, int]]:
            async for message in websocket:
                yield json.loads(message)

        yield received()


@asynccontextmanager
async def sse_news(process: Process) -> AsyncIterator[AsyncIterator[dict[str, int]]]:
    """Las noticias que llegan a un flujo SSE de ese proceso, ya dispuesto."""
    async with aconnect_sse(process.http, "GET", "/events") as source:
        events = source.aiter_sse()
        await anext(events)

        async def received() -> AsyncIterator[dict[str, int]]:
            async for event in events:
                if event.event == "order":
                    yield json.loads(event.data)

        yield received()


async def hears(news: AsyncIterator[dict[str, int]], order_id: int) -> float:
    """La hora a la que llega la noticia de ese pedido."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for item in news:
            if item["id"] == order_id:
                return time.time()
    raise RuntimeError("el proceso ha cerrado la conexión")


# region viaje
async def travel(stage: Stage, kind: Kind) -> Trip:
    """Cambia un pedido por A, con quien lo mira conectado a B y leyendo en cuanto se entera."""
    order_id = await new_order(stage)
    at: dict[str, float] = {}
    async with websocket_news(stage.b) as websocket, sse_news(stage.b) as sse:

        async def watch() -> int:
            at["websocket"] = await hears(websocket, order_id)
            version = await read(stage.b, order_id)
            at["reread"] = time.time()
            return version

        async def watch_board() -> None:
            at["sse"] = await hears(sse, order_id)

        async def ask() -> int:
            version: int = (await change(stage.a, kind, order_id)).raise_for_status().json()["version"]
            at["answer"] = time.time()
            return version

        started = time.time()
        version, reread, _ = await asyncio.gather(ask(), watch(), watch_board())
    at |= await journal(stage.a, order_id)
    steps = [Step.model_validate({"name": name, "at": (when - started) * 1000}) for name, when in at.items()]
    return Trip(kind=kind, steps=sorted(steps, key=lambda step: step.at), version=version, reread=reread)


# endregion


async def journal(process: Process, order_id: int) -> dict[str, float]:
    """Los pasos que el pedido ha dado en ese proceso, cuando ya ha dado el último, que es el correo."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            steps: dict[str, float] = (await process.http.get(f"/journal/{order_id}")).json()
            if "mail" in steps:
                return steps
            await asyncio.sleep(POLL_SECONDS)
