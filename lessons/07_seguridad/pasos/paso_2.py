"""Paso 2: el token, en el primer mensaje.

Di: «La dirección acaba en los registros de todos los que hay por el camino. El primer mensaje, no. Así que acepto sin
saber quién es, y le doy dos segundos para decírmelo. Y como ya he aceptado, puedo cerrar con un código que se ve.»
Enseña: entra y mira el terminal: la dirección no lleva nada. Prueba uno caducado: ahora sí, 1008. Pulsa «Llamar y
callar»: a los dos segundos, fuera.
Minutos: 8
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel, ValidationError

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region tokens
SECRET = "esta clave es de los pasos de la lección 7, y solo sirve para jugar con ella"
AUDIENCE, ALGORITHM = "taller", "HS256"


@app.get("/tokens/{kind}")
async def make_token(kind: str) -> str:
    """Lo que haría el servicio que firma; y, de paso, lo que haría quien intenta colarse."""
    now = int(time.time())
    changes: dict[str, Any] = {
        "short": {"exp": now + 4},
        "expired": {"exp": now - 60},
        "no_exp": {"exp": None},
        "other_service": {"aud": "facturas"},
        "refresh": {"type": "refresh"},
    }.get(kind, {})
    claims = {"sub": "ana", "aud": AUDIENCE, "exp": now + 600, "type": "access", **changes}
    key = "una clave que no es la de este servicio, sino otra" if kind == "other_key" else SECRET
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=ALGORITHM)


# endregion


@app.get("/door")
async def door() -> dict[str, bool]:
    """Para la página: si el token va en la URL, y si se puede renovar."""
    return {"in_url": False, "renews": False}


# region puerta
AUTH_SECONDS = 2.0
logger = logging.getLogger("puerta")


class Rejected(Exception):
    """No entra, o se acabó su tiempo. El porqué es para el registro; a quien llama se le dice 1008 y basta."""


class Hello(BaseModel):
    token: str


# region verificar
def verify(token: str) -> str:
    try:
        claims = jwt.decode(token, SECRET, algorithms=[ALGORITHM], options={"verify_aud": False})
    except jwt.InvalidTokenError as problem:
        raise Rejected(f"{type(problem).__name__}: {problem}") from None
    return str(claims["sub"])


# endregion


# region presentarse
async def introduce(websocket: WebSocket) -> str:
    """El primer mensaje trae el token, y hay un plazo para enviarlo."""
    try:
        async with asyncio.timeout(AUTH_SECONDS):
            hello = Hello.model_validate_json(await websocket.receive_text())
    except (TimeoutError, ValidationError) as problem:
        raise Rejected(f"no se presenta: {type(problem).__name__}") from None
    return verify(hello.token)


# endregion


async def converse(websocket: WebSocket, user: str) -> None:
    await websocket.send_json({"type": "ready", "user": user})
    while True:
        message: Any = await websocket.receive_json()
        await websocket.send_json({"type": "said", "user": user, "text": message["text"]})


async def attend(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        try:
            await converse(websocket, await introduce(websocket))
        except Rejected as reason:
            logger.warning("fuera: %s", reason)
            await websocket.close(1008)


# endregion


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    await attend(websocket)
