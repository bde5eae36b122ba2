"""7.4 Permisos por sala

Saber quién es alguien (7.1) no dice qué puede hacer. Aquí cada sala tiene sus miembros, y lo que puede cada uno se mira
al entrar y **cada vez que publica**. Y cuando a alguien se le quita el permiso, se le quita también en las conexiones
que ya tenía abiertas, estén en el proceso que estén.

Delante de tu app hay una pasarela que ha comprobado el token y dice quién es en la cabecera `X-User`. Los permisos
están en Redis: en el hash `room:{sala}:roles`, por cada miembro, su papel: `reader` (lee) o `writer` (lee y publica).

**Administrar.** Solo quien se llama como dice `ADMIN`; a los demás, 403.

    PUT    /rooms/{sala}/members/{usuario} {"role": "writer"}     204   le da ese papel, o se lo cambia
    DELETE /rooms/{sala}/members/{usuario}                        204   deja de ser miembro

**`/ws`**, todo en JSON, y siempre con la cabecera `X-User`:

    → {"type": "join", "room": "obras"}                       ← {"type": "joined", "room": "obras"}
    → {"type": "publish", "room": "obras", "text": "hola"}    ← {"type": "message", "room": "obras", "user": "ana",
                                                                 "text": "hola"}

- El mensaje llega a todos los que están en la sala, también a quien lo publica, en todos los procesos.
- Para entrar hay que ser miembro; para publicar, `writer` **en ese momento**, y da igual si se ha entrado. A quien no
  puede se le contesta `{"type": "error", "reason": "forbidden", "room": "obras"}`, y la conexión sigue. Si la sala no
  existe, lo mismo: quien no es miembro no tiene por qué saber qué salas hay.
- Cuando un DELETE contesta 204, ya es efectivo: las conexiones de ese usuario que estaban en la sala reciben
  `{"type": "removed", "room": "obras"}` y nada de lo que se publique en ella después. Siguen abiertas, y en sus demás
  salas. Lo mismo vale para un PUT que cambia el papel: desde el 204, manda el nuevo.
- Si la conexión con Redis se corta y alguien deja de ser miembro mientras tanto, su conexión se entera en cuanto el
  proceso vuelva a estar suscrito.

Los mensajes son siempre correctos, y nadie entra dos veces en la misma sala por la misma conexión. Lo que se publica
durante un corte se puede perder (recuperarlo es cosa de 5.4).

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379) y `ADMIN` (admin).
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
ADMIN = os.environ.get("ADMIN", "admin")
CHANNEL = "rooms"  # por aquí pasa todo lo de todas las salas, en un solo orden
RETRY_SECONDS = 0.05

Role = Literal["reader", "writer"]
Event = dict[str, Any]


class Membership(BaseModel):
    role: Role


@dataclass(eq=False)
class Seat:
    """Una conexión: de quién es y lo que aún no se le ha enviado."""

    user: str
    outbox: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)


class Rooms:
    """Los permisos, que están en Redis, y las conexiones de este proceso que están en cada sala."""

    def __init__(self, redis: Redis, pubsub: PubSub) -> None:
        self.redis, self.pubsub = redis, pubsub
        self.seats: dict[str, set[Seat]] = {}
        self.removals = 0  # cuántos «removed» ha visto este proceso

    async def role(self, room: str, user: str) -> str | None:
        """El papel de ese usuario en este momento, o None si no es miembro."""
        seen = self.removals
        role = cast("str | None", await self.redis.hget(f"room:{room}:roles", user))
        # Si mientras Redis contestaba han echado a alguien, la respuesta puede ser de antes: se vuelve a preguntar.
        return role if seen == self.removals else await self.role(room, user)

    async def grant(self, room: str, user: str, role: Role) -> None:
        await self.redis.hset(f"room:{room}:roles", user, role)

    async def revoke(self, room: str, user: str) -> None:
        """Deja de ser miembro, y todos los procesos lo saben."""
        # TODO 3: Quita al usuario del hash y publica en CHANNEL un suceso que lo diga: handle(), en cada
        #   proceso, lo recibirá como uno más.
        await self.redis.hdel(f"room:{room}:roles", user)

    async def join(self, seat: Seat, room: str) -> None:
        # TODO 1: Solo si es miembro: mira su papel (self.role), siéntalo (self.sit) y contesta en su outbox.
        #   Entre mirar y sentarlo no pongas ningún await: en ese hueco podrían echarlo sin que nadie lo encuentre.
        self.sit(seat, room)

    async def publish(self, seat: Seat, room: str, text: str) -> None:
        # TODO 2: Solo si ahora mismo es «writer». Publica en CHANNEL (self.tell) o contesta el error.
        await self.tell({"type": "message", "room": room, "user": seat.user, "text": text})

    async def tell(self, event: Event) -> None:
        await self.redis.publish(CHANNEL, json.dumps(event))

    def handle(self, event: Event) -> None:
        """Un suceso publicado por cualquier proceso: repártelo entre las conexiones de este."""
        # TODO 4: Un «message» va a todas las que están en la sala (self.seats). Con un «removed», self.remove().
        return

    def remove(self, room: str, user: str) -> None:
        """Levanta de la sala las conexiones de ese usuario, y se lo dice."""
        self.removals += 1
        for seat in [seat for seat in self.seats.get(room, ()) if seat.user == user]:
            self.stand(seat, room)
            seat.outbox.put_nowait({"type": "removed", "room": room})

    async def recheck(self) -> None:
        """Tras un corte pudo perderse algún «removed»: vuelve a mirar los permisos de quien está dentro."""
        # TODO 5: Por cada sala y cada usuario sentado en ella, si ya no es miembro, self.remove().
        return

    def sit(self, seat: Seat, room: str) -> None:
        self.seats.setdefault(room, set()).add(seat)

    def stand(self, seat: Seat, room: str) -> None:
        self.seats[room].discard(seat)
        if not self.seats[room]:
            del self.seats[room]

    def leave(self, seat: Seat) -> None:
        """La conexión se ha ido de todas las salas."""
        for room in [room for room, seats in self.seats.items() if seat in seats]:
            self.stand(seat, room)

    async def listen(self) -> None:
        """Atiende lo que llega por Pub/Sub mientras viva el proceso; si la conexión se corta, insiste."""
        while True:
            try:
                async for message in self.pubsub.listen():
                    if message["type"] == "subscribe":  # la primera vez y tras cada corte
                        await self.recheck()
                    else:
                        self.handle(json.loads(message["data"]))
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    options: dict[str, Any] = {"decode_responses": True, "retry": Retry(NoBackoff(), 1)}
    async with Redis.from_url(REDIS_URL, **options) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        rooms = app.state.rooms = Rooms(redis, pubsub)
        listener = asyncio.create_task(rooms.listen())
        yield
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


app = FastAPI(title="Permisos por sala", lifespan=lifespan)


def get_rooms(connection: HTTPConnection) -> Rooms:
    rooms: Rooms = connection.app.state.rooms
    return rooms


def require_admin(x_user: Annotated[str, Header()]) -> None:
    if x_user != ADMIN:
        raise HTTPException(403, "Solo para quien administra")


RoomsDep = Annotated[Rooms, Depends(get_rooms)]


@app.put("/rooms/{room}/members/{user}", status_code=204, dependencies=[Depends(require_admin)])
async def grant(room: str, user: str, membership: Membership, rooms: RoomsDep) -> None:
    await rooms.grant(room, user, membership.role)


@app.delete("/rooms/{room}/members/{user}", status_code=204, dependencies=[Depends(require_admin)])
async def revoke(room: str, user: str, rooms: RoomsDep) -> None:
    await rooms.revoke(room, user)


@app.websocket("/ws")
async def talk(websocket: WebSocket, x_user: Annotated[str, Header()], rooms: RoomsDep) -> None:
    await websocket.accept()
    seat = Seat(x_user)
    sender = asyncio.create_task(deliver(websocket, seat))
    try:
        with suppress(WebSocketDisconnect):
            while True:
                message: Any = await websocket.receive_json()
                if message["type"] == "join":
                    await rooms.join(seat, message["room"])
                else:
                    await rooms.publish(seat, message["room"], message["text"])
    finally:
        sender.cancel()
        rooms.leave(seat)


async def deliver(websocket: WebSocket, seat: Seat) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_json(await seat.outbox.get())
