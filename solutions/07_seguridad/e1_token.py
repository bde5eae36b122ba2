"""7.1 Token en el WebSocket

Un chat que solo habla con quien demuestra quién es. La prueba es un JWT que firma otro servicio; tu app comprueba la
firma, de quién es, para quién y hasta cuándo. El token viaja en el **primer mensaje**, nunca en la URL: las URL acaban
en los registros.

Un token bueno está firmado con HS256 y `SECRET`, y lleva dentro:

    {"sub": "ana", "aud": "taller", "exp": 1790000000, "type": "access"}

`sub` es de quién (un texto), `aud` para qué servicio (el tuyo es `AUDIENCE`), `exp` cuándo caduca (segundos desde 1970,
un entero). Con la misma firma existen tokens `"type": "refresh"`, que sirven para pedir otros y aquí no valen.

**`/ws`**, todo en JSON y en tramas de texto:

- Si la petición trae una cabecera `Origin` que no está en `ALLOWED_ORIGINS`, se rechaza con HTTP 403 sin llegar a abrir
  el WebSocket. Si no trae `Origin`, no viene de una página, y se acepta.
- El primer mensaje es `{"type": "auth", "token": "…"}` y se contesta `{"type": "ready", "user": "ana", "expires_at":
  1790000000}`.
- Si no llega en `AUTH_SECONDS` segundos, es cualquier otra cosa o el token no es bueno (le falta algo, ha caducado, es
  de otro servicio, está firmado con otra clave o con otro algoritmo), se cierra con **1008** sin contestar nada.
- Después, `{"type": "say", "text": "hola"}` se contesta `{"type": "said", "user": "ana", "text": "hola"}`.
- `{"type": "renew", "token": "…"}` cambia el token por otro de la misma persona y se contesta `{"type": "renewed",
  "expires_at": …}`. Si el nuevo no es bueno o es de otra persona, cierre 1008.
- Cuando caduca el último token, aunque el de antes durara más, se cierra con 1008, diga algo el cliente o no.
- Ningún token, ni bueno ni malo, aparece en la salida de tu app.

Lo que llegue después de un «auth» bueno es siempre un «say» o un «renew» bien escritos.

Variables de entorno: `SECRET` (hay una para probar), `AUDIENCE` (taller), `ALLOWED_ORIGINS` (una lista separada por
comas; por defecto `http://127.0.0.1:8000`) y `AUTH_SECONDS` (2, con decimales).

Ejemplo:

    → {"type": "auth", "token": "eyJ…"}      ← {"type": "ready", "user": "ana", "expires_at": 1790000000}
    → {"type": "say", "text": "hola"}        ← {"type": "said", "user": "ana", "text": "hola"}
    → {"type": "renew", "token": "eyJ…"}     ← {"type": "renewed", "expires_at": 1790000900}
    ⇢ llega el segundo 1790000900            ← cierre 1008
"""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError

# La de verdad llega por el entorno; con menos de 32 bytes, HS256 se puede romper a fuerza de probar.
SECRET = os.environ.get("SECRET", "solo para probar: cambia esto en producción")
AUDIENCE = os.environ.get("AUDIENCE", "taller")
ALLOWED_ORIGINS = os.environ.get("ALLOWED_ORIGINS", "http://127.0.0.1:8000").split(",")
AUTH_SECONDS = float(os.environ.get("AUTH_SECONDS", "2"))
ALGORITHM = "HS256"
POLICY_VIOLATION = 1008

app = FastAPI(title="Token en el WebSocket")


class Rejected(Exception):
    """No ha demostrado quién es."""


class Hello(BaseModel):
    """El primer mensaje; lo que no tenga esta forma lanza ValidationError."""

    type: Literal["auth"]
    token: str


@dataclass(frozen=True)
class Access:
    """Lo que dice un token bueno: quién es y hasta cuándo, en segundos desde 1970."""

    user: str
    expires_at: int

    def remaining(self) -> float:
        """Los segundos que le quedan."""
        return self.expires_at - time.time()


def verify(token: str) -> Access:
    """Lo que dice un token bueno; lanza Rejected si no lo es."""
    # region TODO 1: jwt.decode() con la clave, la lista de algoritmos, la audiencia y los campos obligatorios
    #   (options={"require": […]}). Todos sus errores son jwt.InvalidTokenError. Mira también que sea de acceso.
    #: raise Rejected
    try:
        claims = jwt.decode(
            token,
            SECRET,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["exp", "sub", "aud"]},
        )
    except jwt.InvalidTokenError:
        raise Rejected from None
    if claims.get("type") != "access":
        raise Rejected
    return Access(user=claims["sub"], expires_at=int(claims["exp"]))
    # endregion


def allowed_origin(origin: str | None) -> bool:
    """Si se puede abrir un WebSocket desde ahí; `origin` es None cuando la petición no viene de una página."""
    # region TODO 2: El origen entero tiene que estar en la lista.
    #: return True
    return origin is None or origin in ALLOWED_ORIGINS
    # endregion


async def authenticate(websocket: WebSocket) -> Access:
    """Lee el primer mensaje y dice quién es; lanza Rejected si no lo demuestra a tiempo."""
    # region TODO 3: Espera el primer mensaje con asyncio.timeout(AUTH_SECONDS), analízalo con
    #   Hello.model_validate_json() y comprueba su token con verify().
    #: raise Rejected
    try:
        async with asyncio.timeout(AUTH_SECONDS):
            hello = Hello.model_validate_json(await websocket.receive_text())
    except (TimeoutError, ValidationError):
        raise Rejected from None
    return verify(hello.token)
    # endregion


async def converse(websocket: WebSocket, access: Access) -> None:
    """Atiende a quien ya ha demostrado quién es; lanza Rejected cuando su token caduca o el nuevo no vale."""
    # region TODO 4: Contesta «ready» y atiende «say» y «renew» dentro de un asyncio.timeout() que acabe cuando
    #   el token. Al renovar, cambia la hora en que acaba con deadline.reschedule(), que la quiere del reloj del
    #   bucle: asyncio.get_running_loop().time() más lo que le quede al token nuevo.
    #: await websocket.receive_json()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(access.remaining()) as deadline:
            await websocket.send_json({"type": "ready", "user": access.user, "expires_at": access.expires_at})
            while True:
                message: Any = await websocket.receive_json()
                if message["type"] == "renew":
                    access = renew(access, message["token"])
                    deadline.reschedule(loop.time() + access.remaining())
                    await websocket.send_json({"type": "renewed", "expires_at": access.expires_at})
                else:
                    await websocket.send_json({"type": "said", "user": access.user, "text": message["text"]})
    except TimeoutError:
        raise Rejected from None
    # endregion


def renew(access: Access, token: str) -> Access:
    """El acceso nuevo; lanza Rejected si el token no es bueno o es de otra persona."""
    # region TODO 5: Comprueba el token nuevo, y que sea de quien ya está al otro lado.
    #: return access
    renewed = verify(token)
    if renewed.user != access.user:
        raise Rejected
    return renewed
    # endregion


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    if not allowed_origin(websocket.headers.get("origin")):
        await websocket.close()  # sin haber aceptado: HTTP 403
        return
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        try:
            await converse(websocket, await authenticate(websocket))
        except Rejected:
            await websocket.close(POLICY_VIOLATION)
