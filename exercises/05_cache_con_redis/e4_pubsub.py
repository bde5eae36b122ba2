"""5.4 Pub/Sub hasta el WebSocket

Un suceso que llega a un proceso tienen que verlo los WebSockets de todos. Redis Pub/Sub los reparte; pero
no guarda nada: lo que se publica mientras un proceso está desconectado se pierde, y redis-py se vuelve a
suscribir sin decir nada. Por eso cada suceso se escribe además en un Stream, que sí se puede releer.

**Publicar** un suceso en un tema son dos pasos, y los da tu app o cualquier otro programa:

    XADD topic:{tema} * text "hola"                            el Stream; devuelve el identificador, 1690-0
    PUBLISH topic:{tema} '{"id": "1690-0", "text": "hola"}'    el canal, que se llama igual

**`POST /topics/{tema}`** con `{"text": "hola"}` lo publica y contesta 202 `{"id": "1690-0"}`.

**`/topics/{tema}/ws`** es un WebSocket que recibe los sucesos del tema. Al entrar recibe
`{"type": "ready"}`; desde entonces, `{"type": "event", "id": "1690-0", "text": "hola"}` por cada suceso,
los publique quien los publique: todos, por orden y sin repetir ninguno.

- Cada proceso tiene **una** conexión de Pub/Sub, y en ella **una** suscripción por tema (SUBSCRIBE)
  mientras tenga algún WebSocket en él, sean los que sean. Cuando se va el último, se da de baja.
- Si la conexión con Redis se corta, o Redis se reinicia, el proceso vuelve a suscribirse y sus WebSockets,
  sin desconectarse, reciben lo publicado mientras tanto: está en el Stream.
- Que un WebSocket no reciba nada no impide al proceso atender lo demás. `GET /ping` ya está escrito.

El nombre del mensaje de Pub/Sub que avisa de una suscripción, la primera y las que siguen a un corte, es
`subscribe`: es la única señal de que pudo haber un hueco.

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379).

Ejemplo:

    WebSocket /topics/bolsa/ws        ← {"type": "ready"}
    POST /topics/bolsa {"text": "sube"}    202 {"id": "1690-0"}
                                      ← {"type": "event", "id": "1690-0", "text": "sube"}
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
RETRY_SECONDS = 0.05
KEPT = 1000  # cuántos sucesos recuerda el Stream de un tema

Event = dict[str, Any]
Outbox = asyncio.Queue[Event]


class NewEvent(BaseModel):
    text: str


class Published(BaseModel):
    id: str


@dataclass
class Topic:
    """Un tema que alguien escucha en este proceso."""

    last: str  # el identificador del último suceso repartido
    outboxes: set[Outbox] = field(default_factory=set)


class Hub:
    """Los temas que se escuchan en este proceso, con una sola conexión de Pub/Sub para todos."""

    def __init__(self, redis: Redis, pubsub: PubSub) -> None:
        self.redis, self.pubsub = redis, pubsub
        self.topics: dict[str, Topic] = {}
        self.changing = asyncio.Lock()
        self.subscribed = asyncio.Event()

    async def publish(self, name: str, text: str) -> str:
        """Escribe el suceso en el Stream y avisa por el canal; devuelve su identificador."""
        # TODO 1: XADD (con maxlen=KEPT, para que no crezca sin fin) y PUBLISH.
        return "0-0"

    async def join(self, name: str, outbox: Outbox) -> None:
        """Apunta un WebSocket a un tema; si es el primero de este proceso, se suscribe."""
        # TODO 2: El primero crea el Topic (last: el último identificador del Stream, o "0-0"), se
        #   suscribe con self.pubsub.subscribe(canal) y despierta a listen() con self.subscribed.set(). Usa
        #   self.changing: entre un await y el siguiente, el último puede estar yéndose.
        raise NotImplementedError

    async def leave(self, name: str, outbox: Outbox) -> None:
        """Lo borra; si era el último de este proceso en ese tema, se da de baja."""
        # TODO 3: Olvida el tema que queda vacío y date de baja: self.pubsub.unsubscribe(canal).
        return

    async def listen(self) -> None:
        """Atiende lo que llega por Pub/Sub mientras viva el proceso; si la conexión se corta, insiste."""
        while True:
            await self.subscribed.wait()
            self.subscribed.clear()
            try:
                # Termina cuando no queda ninguna suscripción.
                async for message in self.pubsub.listen():
                    if message["type"] in ("subscribe", "message"):
                        await self.catch_up(message["channel"].removeprefix("topic:"))
            except (RedisError, OSError):
                self.subscribed.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def catch_up(self, name: str) -> None:
        """Reparte lo que haya en el Stream detrás del último suceso repartido."""
        # TODO 4: XRANGE desde el siguiente a topic.last («(1690-0» excluye ese), y pon cada suceso en
        #   los outboxes. Si ya nadie escucha el tema (una baja perdida en un corte), date de baja otra vez.
        return


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    options: dict[str, Any] = {"decode_responses": True, "retry": Retry(NoBackoff(), 1)}
    async with Redis.from_url(REDIS_URL, **options) as redis, redis.pubsub() as pubsub:
        hub = app.state.hub = Hub(redis, pubsub)
        listener = asyncio.create_task(hub.listen())
        yield
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


app = FastAPI(title="Pub/Sub hasta el WebSocket", lifespan=lifespan)


def get_hub(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(get_hub)]


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.post("/topics/{name}", status_code=202)
async def publish(name: str, event: NewEvent, hub: HubDep) -> Published:
    return Published(id=await hub.publish(name, event.text))


@app.websocket("/topics/{name}/ws")
async def follow(websocket: WebSocket, name: str, hub: HubDep) -> None:
    await websocket.accept()
    outbox: Outbox = asyncio.Queue()
    await hub.join(name, outbox)
    sender = asyncio.create_task(deliver(websocket, outbox))
    try:
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
    finally:
        sender.cancel()
        await hub.leave(name, outbox)


async def deliver(websocket: WebSocket, outbox: Outbox) -> None:
    """Emisor: quien no lee solo se hace esperar a sí mismo (ponerle un tope a su cola, en la lección 9)."""
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready"})
        while True:
            await websocket.send_json(await outbox.get())
