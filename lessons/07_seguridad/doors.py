"""La puerta correcta: quién entra, desde dónde, hasta cuándo y a qué ritmo. Es lo de `pasos/paso_5.py`."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from limiters import SlidingWindow
from pydantic import BaseModel, ValidationError
from tokens import ALGORITHM, AUDIENCE, SECRET

router = APIRouter()

# region puerta
AUTH_SECONDS = 2.0
logger = logging.getLogger("puerta")
limiter = SlidingWindow(limit=5, seconds=4.0)


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


# region hasta-que-caduque
async def until_it_expires(websocket: WebSocket, access: Access) -> None:
    try:
        async with asyncio.timeout(access.remaining()) as deadline:
            await websocket.send_json({"type": "ready", "user": access.user, "expires_at": access.expires_at})
            while True:
                message: Any = await websocket.receive_json()
                if "token" in message:
                    access = renewed(access, message["token"])
                    deadline.reschedule(asyncio.get_running_loop().time() + access.remaining())
                    await websocket.send_json({"type": "renewed", "expires_at": access.expires_at})
                else:
                    await answer(websocket, access.user, message["text"])
    except TimeoutError:
        raise Rejected("el token ha caducado") from None


# endregion


# region renovar
def renewed(access: Access, token: str) -> Access:
    newer = verify(token)
    if newer.user != access.user:
        raise Rejected(f"{access.user} trae un token de {newer.user}")
    return newer


# endregion


async def answer(websocket: WebSocket, user: str, text: str) -> None:
    decision = limiter.ask(user)
    if decision.allowed:
        await websocket.send_json({"type": "said", "user": user, "text": text})
    else:
        await websocket.send_json({"type": "slow_down", "retry_after": round(decision.retry_after, 2)})


# region atender
async def attend(websocket: WebSocket) -> None:
    if not same_origin(websocket):
        logger.warning("origen ajeno: %s", websocket.headers["origin"])
        await websocket.close()  # sin aceptar: HTTP 403
        return
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        try:
            await until_it_expires(websocket, await introduce(websocket))
        except Rejected as reason:
            logger.warning("fuera: %s", reason)
            await websocket.close(1008)


# endregion
# endregion


@router.websocket("/right/ws")
async def right_door(websocket: WebSocket) -> None:
    await attend(websocket)
