"""Los avisos de la estación por Redis Pub/Sub: dos paneles, y lo que pasa con ellos cuando se corta la conexión."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL = STREAM = "announcements"
KEPT = 200

Send = Callable[[dict[str, str]], Awaitable[None]]


# region avisar
async def announce(redis: Redis, text: str) -> str:
    """El aviso, al Stream, que lo guarda; y por el canal, la noticia de que lo hay."""
    event_id = str(await redis.xadd(STREAM, {"text": text}, maxlen=KEPT))
    await redis.publish(CHANNEL, json.dumps({"id": event_id, "text": text}))
    return event_id


# endregion


async def cut_and_announce(redis: Redis, texts: list[str]) -> None:
    """Corta las conexiones de Pub/Sub y avisa, sin que nadie pueda reconectar entre medias."""
    async with redis.pipeline(transaction=True) as at_once:
        at_once.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        for text in texts:
            at_once.xadd(STREAM, {"text": text}, maxlen=KEPT)
            at_once.publish(CHANNEL, json.dumps({"id": "", "text": text}))
        await at_once.execute()


# region panel-ingenuo
async def naive_board(redis: Redis, send: Send) -> None:
    """Lo que llega por Pub/Sub, y nada más: lo que se publica durante un corte no llega nunca."""
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message":
                await send(json.loads(message["data"]))


# endregion


# region panel-correcto
async def right_board(redis: Redis, send: Send, after: str) -> None:
    """Pub/Sub es solo el timbre: al oírlo, se lee del Stream lo que falta desde el último aviso entregado."""
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        # «subscribe» llega al empezar y tras cada corte; «message», con cada aviso. En los dos casos, ponerse al día.
        async for _ in pubsub.listen():
            missed: Any = await redis.xrange(STREAM, min=f"({after}")
            for after, fields in missed:
                await send({"id": after, "text": fields["text"]})


# endregion


async def newest_id(redis: Redis) -> str:
    newest: Any = await redis.xrevrange(STREAM, count=1)
    return str(newest[0][0]) if newest else "0-0"


async def show_board(websocket: WebSocket, redis: Redis, kind: str, after: str | None) -> None:
    """Un panel en un WebSocket, hasta que su navegador se vaya o Redis se caiga del todo."""
    await websocket.accept()
    showing = asyncio.create_task(run_board(websocket.send_json, redis, kind, after))
    leaving = asyncio.create_task(until_it_leaves(websocket))
    try:
        await asyncio.wait([showing, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        showing.cancel()
        leaving.cancel()
        outcome, _ = await asyncio.gather(showing, leaving, return_exceptions=True)
    if isinstance(outcome, RedisError | OSError):
        await websocket.close(1013, "Redis no contesta; vuelve a intentarlo")


async def run_board(send: Send, redis: Redis, kind: str, after: str | None) -> None:
    if kind == "naive":
        await naive_board(redis, send)
    else:
        await right_board(redis, send, after or await newest_id(redis))


async def until_it_leaves(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
