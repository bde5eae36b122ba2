"""Paso 3: qué dice el token, y desde dónde lo traen.

Di: «La firma dice que lo hizo quien debía. No dice que sea para mí, ni que caduque, ni que sirva para entrar. Todo eso
se pide. Y la página desde la que me llaman la dice el navegador, no la página: Origin.»
Enseña: sin «exp», de otro servicio y de refresco: 1008 los tres, y en el terminal, por qué. Desde otra página: ni se
abre.
Minutos: 6
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


@dataclass(frozen=True)
class Access:
    user: str
    expires_at: int

    def remaining(self) -> float:
        return self.expires_at - time.time()


# region verificar
def verify(token: str) -> Access:
    """Quién es y hasta cuándo, según un token que se puede creer; si no se puede, Rejected."""
    try:
        claims = jwt.decode(
            token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE, options={"require": ["exp", "sub", "aud"]}
        )
    except jwt.InvalidTokenError as problem:
        raise Rejected(f"{type(problem).__name__}: {problem}") from None
    if claims.get("type") != "access":
        raise Rejected("no es un token de acceso")
    return Access(str(claims["sub"]), int(claims["exp"]))


# endregion


# region origen
def same_origin(websocket: WebSocket) -> bool:
    """La mini-app no sabe en qué puerto la arrancan: compara con Host. En producción, una lista de los tuyos."""
    origin = websocket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == websocket.headers.get("host")


# endregion


# region presentarse
async def introduce(websocket: WebSocket) -> Access:
    """El primer mensaje trae el token, y hay un plazo para enviarlo."""
    try:
        async with asyncio.timeout(AUTH_SECONDS):
            hello = Hello.model_validate_json(await websocket.receive_text())
    except (TimeoutError, ValidationError) as problem:
        raise Rejected(f"no se presenta: {type(problem).__name__}") from None
    return verify(hello.token)


# endregion


async def converse(websocket: WebSocket, access: Access) -> None:
    await websocket.send_json({"type": "ready", "user": access.user})
    while True:
        message: Any = await websocket.receive_json()
        await websocket.send_json({"type": "said", "user": access.user, "text": message["text"]})


async def attend(websocket: WebSocket) -> None:
    if not same_origin(websocket):
        logger.warning("origen ajeno: %s", websocket.headers["origin"])
        await websocket.close()  # sin aceptar: HTTP 403
        return
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
