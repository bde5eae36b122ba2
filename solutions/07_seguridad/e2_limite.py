"""7.2 Límite en memoria

Un portero. Una pasarela con miles de usuarios detrás le pregunta por cada petición, y él dice si pasa o cuánto falta
para que pueda pasar. Lleva la cuenta en memoria, en un solo proceso, y su memoria no crece sin fin.

En **`/ws`**, todo en JSON. Por cada `{"user": "ana"}` se contesta, por orden, una de dos:

    {"user": "ana", "allowed": true, "remaining": 2}          pasa; en esta ventana le caben otras 2
    {"user": "ana", "allowed": false, "retry_after": 1.25}    no pasa; podrá dentro de 1,25 s

- A cada usuario se le permiten `LIMIT` peticiones en los últimos `WINDOW_SECONDS` segundos. La ventana **se desliza**:
  no se vacía de golpe, sino que cada petición permitida deja de contar cuando cumple `WINDOW_SECONDS`.
- Una petición rechazada no cuenta: quien insiste no retrasa el momento en que podrá pasar.
- `retry_after` son los segundos, con decimales, que faltan para que pueda pasar la siguiente.
- La cuenta es del usuario, pregunte la conexión que pregunte.
- De quien no tiene ninguna petición en la ventana no se recuerda nada, vuelva o no.
- Nunca se recuerda a más de `MAX_USERS`. Cuando hay que recordar a otro y no cabe, se olvida a quien hace más tiempo
  que no se le permite nada, que empieza de cero.

**`GET /limiter`** contesta `{"users": 3}`, de cuántos usuarios se recuerda algo en este momento.

Los mensajes son siempre correctos. Quién es quién ya lo ha comprobado la pasarela (7.1).

Variables de entorno: `LIMIT` (10), `WINDOW_SECONDS` (60, con decimales) y `MAX_USERS` (10000).

Ejemplo, con LIMIT=2 y WINDOW_SECONDS=10:

    → {"user": "ana"}      ← {"user": "ana", "allowed": true, "remaining": 1}
    → {"user": "luis"}     ← {"user": "luis", "allowed": true, "remaining": 1}
    ⇢ pasan cuatro segundos
    → {"user": "ana"}      ← {"user": "ana", "allowed": true, "remaining": 0}
    → {"user": "ana"}      ← {"user": "ana", "allowed": false, "retry_after": 6.0}
    GET /limiter           {"users": 2}
"""

import os
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

LIMIT = int(os.environ.get("LIMIT", "10"))
WINDOW_SECONDS = float(os.environ.get("WINDOW_SECONDS", "60"))
MAX_USERS = int(os.environ.get("MAX_USERS", "10000"))

Answer = dict[str, Any]


class Limiter:
    """Ventana deslizante por usuario; recuerda cuándo se permitió cada petición que aún cuenta."""

    def __init__(self) -> None:
        # Ordenados por cuándo se les permitió algo por última vez: el primero es el que hace más tiempo.
        self.times: OrderedDict[str, list[float]] = OrderedDict()

    def ask(self, user: str) -> Answer:
        """Si pasa una petición de `user` en este momento; si pasa, queda apuntada."""
        # El reloj monótono no da saltos cuando se corrige la hora de la máquina; time.time() sí.
        now = time.monotonic()
        self.forget(now)
        times = self.times.get(user, [])
        # region TODO 1: Deja en `times` solo las peticiones que aún cuentan. Si no cabe otra, contesta cuándo cabrá.
        #: return {"user": user, "allowed": True, "remaining": LIMIT}
        times = [moment for moment in times if now - moment < WINDOW_SECONDS]
        if len(times) >= LIMIT:
            return {"user": user, "allowed": False, "retry_after": times[0] + WINDOW_SECONDS - now}
        # endregion
        times.append(now)
        self.remember(user, times)
        return {"user": user, "allowed": True, "remaining": LIMIT - len(times)}

    def remember(self, user: str, times: list[float]) -> None:
        """Guarda las peticiones de un usuario al que se le acaba de permitir una."""
        # region TODO 3: Guárdalas y pon al usuario al final (move_to_end). Si hay más de MAX_USERS, sobra el
        #   primero: popitem(last=False).
        #: self.times[user] = times
        self.times[user] = times
        self.times.move_to_end(user)
        if len(self.times) > MAX_USERS:
            self.times.popitem(last=False)
        # endregion

    def forget(self, now: float) -> None:
        """Olvida a quienes ya no tienen ninguna petición en la ventana."""
        # region TODO 2: Están todos al principio. No recorras a los demás: esto se hace en cada pregunta.
        #: return
        while self.times:
            user, times = next(iter(self.times.items()))
            if now - times[-1] < WINDOW_SECONDS:
                return
            del self.times[user]
        # endregion

    def users(self) -> int:
        """De cuántos se recuerda algo."""
        self.forget(time.monotonic())
        return len(self.times)


app = FastAPI(title="Límite en memoria")
app.state.limiter = Limiter()


def get_limiter(connection: HTTPConnection) -> Limiter:
    limiter: Limiter = connection.app.state.limiter
    return limiter


LimiterDep = Annotated[Limiter, Depends(get_limiter)]


@app.websocket("/ws")
async def door(websocket: WebSocket, limiter: LimiterDep) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            question: Any = await websocket.receive_json()
            await websocket.send_json(limiter.ask(question["user"]))


@app.get("/limiter")
async def state(limiter: LimiterDep) -> dict[str, int]:
    return {"users": limiter.users()}
