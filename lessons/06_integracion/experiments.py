"""Los experimentos de la página: releer treinta veces, matar en el hueco, dos procesos y un correo lento."""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack
from typing import Literal

import httpx
from pydantic import BaseModel
from shop import STREAM
from stage import Process, Stage
from trip import Kind, change, hears, new_order, travel, websocket_news

CROWD = 20
KILLS = 5
EVENT_SECONDS = 0.4
SILENCE_SECONDS = 0.3
POLL_SECONDS = 0.02


class Rereads(BaseModel):
    """Por cada cambio, si quien leyó al recibir la noticia leyó lo de antes."""

    stale: list[bool]


class Deaths(BaseModel):
    """Por cada muerte entre el COMMIT y la noticia: si el cambio está y si la noticia salió."""

    changed: list[bool]
    told: list[bool]


class Crowd(BaseModel):
    """De quienes miraban, cuántos se enteraron, y cuántos había en cada proceso."""

    reached: int
    in_a: int
    in_b: int


async def rereads(stage: Stage, kind: Kind, count: int) -> Rereads:
    trips = [await travel(stage, kind) for _ in range(count)]
    return Rereads(stale=[trip.reread < trip.version for trip in trips])


# region muertes
async def deaths(stage: Stage, kind: Literal["right", "outbox"]) -> Deaths:
    """El proceso A confirma un cambio y muere (SIGKILL) antes de publicarlo; después se levanta otro."""
    result = Deaths(changed=[], told=[])
    for _ in range(KILLS):
        order_id = await new_order(stage)
        try:
            await change(stage.a, kind, order_id, die_after="database")
        except httpx.TransportError:  # murió sin contestar
            await stage.died("a")
        result.changed.append(await stored_version(stage.a, order_id) == 2)
        result.told.append(await was_told(stage, order_id))
    return result


# endregion


async def stored_version(process: Process, order_id: int) -> int:
    """La versión según PostgreSQL."""
    version: int = (await process.http.get(f"/stored/{order_id}")).raise_for_status().json()["version"]
    return version


async def was_told(stage: Stage, order_id: int) -> bool:
    """Si la noticia está en el stream, o llega enseguida."""
    deadline = time.monotonic() + EVENT_SECONDS
    # Un reloj y no asyncio.timeout: en Python 3.11, redis-py se puede tragar la cancelación.
    while time.monotonic() < deadline:
        entries = await stage.redis.xrange(STREAM)
        if any(json.loads(fields[b"news"])["id"] == order_id for _, fields in entries):
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False


# region gente
async def crowd(stage: Stage, kind: Literal["local", "right"]) -> Crowd:
    """Veinte navegadores repartidos al azar entre los dos procesos, como haría un balanceador."""
    order_id = await new_order(stage)
    where = [random.choice(("a", "b")) for _ in range(CROWD)]
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(websocket_news(stage.processes[name])) for name in where]
        waiting = [asyncio.create_task(hears(news, order_id)) for news in people]
        await change(stage.a, kind, order_id)
        heard, silent = await asyncio.wait(waiting, timeout=SILENCE_SECONDS)
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)
    return Crowd(reached=len(heard), in_a=where.count("a"), in_b=where.count("b"))


# endregion


class Delay(BaseModel):
    """Con el correo así de lento, los ms que tarda en enterarse quien mira."""

    mail: float
    naive: float
    right: float


async def delays(stage: Stage, seconds: list[float]) -> list[Delay]:
    result = []
    for pause in seconds:
        stage.mailbox.delay(pause)
        naive, right = [await noticed(stage, kind) for kind in ("naive", "right")]
        result.append(Delay(mail=pause * 1000, naive=naive, right=right))
    return result


async def noticed(stage: Stage, kind: Kind) -> float:
    trip = await travel(stage, kind)
    return next(step.at for step in trip.steps if step.name == "websocket")
