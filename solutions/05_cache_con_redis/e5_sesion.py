"""5.5 Sesión que sobrevive

Un carrito de la compra por WebSocket. La conexión se corta cada vez que el teléfono cambia de red y los
procesos se reinician en cada despliegue; el carrito no puede perderse por eso. Guárdalo en Redis, y que la
conexión solo sea la forma de llegar a él.

En `/ws`, todo en JSON. El primer mensaje dice quién eres:

    {"type": "start"}                       una sesión nueva
    {"type": "resume", "token": "…"}        una que ya tenías, en cualquier proceso

y se contesta con `{"type": "session", "token": "…", "cart": {}}`, con el carrito como esté. Después:

    {"type": "add", "product": "pan", "units": 2}        {"type": "cart", "cart": {"pan": 2}}

- El `token` es la llave de la sesión: quien lo tiene, entra. Que no se pueda adivinar: como poco, 120 bits
  de azar del sistema operativo. Y que no vaya en la URL, que acaba en los registros.
- La sesión vive en Redis, en una o varias claves que **caducan** a los `SESSION_TTL` segundos de la última
  vez que se usó: cada mensaje, y cada vuelta, alarga su vida.
- Un token que no existe, o una sesión que ha caducado (también si caduca con la conexión abierta), se
  contesta con `{"type": "error", "reason": "unknown_session"}` y cierre 1008, y no deja nada en Redis.
- Cuando se contesta a un `add`, ya está guardado: aunque el proceso muera en ese instante, no se pierde.
- Una sesión puede tener dos conexiones a la vez, en dos procesos (dos pestañas, o una que no sabe que se ha
  cortado): lo que añade una no pisa lo que añade la otra.

Los mensajes son siempre correctos, y `units` es un entero mayor que cero. Con dos conexiones, cada una ve
el carrito entero cuando se le contesta; avisarla de lo que hace la otra es cosa de 5.4.

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379) y `SESSION_TTL` (1800 segundos, con decimales).

Ejemplo:

    → {"type": "start"}
    ← {"type": "session", "token": "mX9…", "cart": {}}
    → {"type": "add", "product": "pan", "units": 2}
    ← {"type": "cart", "cart": {"pan": 2}}
    ⇢ se corta; el cliente vuelve, y le toca otro proceso
    → {"type": "resume", "token": "mX9…"}
    ← {"type": "session", "token": "mX9…", "cart": {"pan": 2}}
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SESSION_TTL = float(os.environ.get("SESSION_TTL", "1800"))
STARTED = ""  # un hash sin campos no existe: este marca las sesiones sin nada en el carrito

Message = dict[str, Any]
Cart = dict[str, int]


class UnknownSession(Exception):
    """La sesión no existe, o ha caducado."""


class Sessions:
    """Las sesiones: un hash por cada una, `session:{token}`, con las unidades de cada producto."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def start(self) -> str:
        """Crea una sesión y devuelve su token."""
        # region TODO 1: Genera el token con el módulo secrets y crea el hash con su caducidad, las dos cosas o
        #   ninguna: redis.pipeline(transaction=True).
        #: return "1"
        token = secrets.token_urlsafe(32)
        key = f"session:{token}"
        async with self.redis.pipeline(transaction=True) as both:
            both.hset(key, STARTED, 1)
            both.pexpire(key, round(SESSION_TTL * 1000))
            await both.execute()
        return token
        # endregion

    async def renew(self, token: str) -> None:
        """Alarga la vida de la sesión; lanza UnknownSession si no existe."""
        # region TODO 2: PEXPIRE devuelve 0 si la clave no existe.
        #: raise UnknownSession
        if not await self.redis.pexpire(f"session:{token}", round(SESSION_TTL * 1000)):
            raise UnknownSession
        # endregion

    async def cart(self, token: str) -> Cart:
        """El carrito; lanza UnknownSession si la sesión no existe."""
        await self.renew(token)
        fields: Any = await self.redis.hgetall(f"session:{token}")
        return {product: int(units) for product, units in fields.items() if product != STARTED}

    async def add(self, token: str, product: str, units: int) -> None:
        """Suma unidades a un producto; lanza UnknownSession si la sesión no existe."""
        # region TODO 3: Suma en Redis (HINCRBY), no en Python: leer, sumar y escribir pisaría a la otra
        #   conexión. HINCRBY crea la clave si no existe: comprueba antes que la sesión sigue ahí.
        #: return
        await self.renew(token)
        await self.redis.hincrby(f"session:{token}", product, units)
        # endregion


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Redis.from_url(REDIS_URL, decode_responses=True) as redis:
        app.state.sessions = Sessions(redis)
        yield


app = FastAPI(title="Sesión que sobrevive", lifespan=lifespan)


def get_sessions(websocket: WebSocket) -> Sessions:
    sessions: Sessions = websocket.app.state.sessions
    return sessions


@app.websocket("/ws")
async def shop(websocket: WebSocket, sessions: Annotated[Sessions, Depends(get_sessions)]) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        try:
            await converse(websocket, sessions)
        except UnknownSession:
            await websocket.send_json({"type": "error", "reason": "unknown_session"})
            await websocket.close(1008)


async def converse(websocket: WebSocket, sessions: Sessions) -> None:
    """Averigua de quién es la sesión y atiende sus mensajes hasta que se vaya o caduque."""
    # region TODO 4: El primer mensaje es «start» o «resume»: contesta «session». Los demás, «add»: contesta
    #   «cart».
    #: await websocket.receive_json()
    hello: Message = await websocket.receive_json()
    token = await sessions.start() if hello["type"] == "start" else hello["token"]
    await websocket.send_json({"type": "session", "token": token, "cart": await sessions.cart(token)})
    while True:
        message: Message = await websocket.receive_json()
        await sessions.add(token, message["product"], message["units"])
        await websocket.send_json({"type": "cart", "cart": await sessions.cart(token)})
    # endregion
