"""Paso 5: y no más de cinco mensajes cada cuatro segundos.

Di: «Ahora sé quién habla, así que puedo contar por persona y no por conexión. Guardo cuándo dijo cada cosa, miro solo
las que aún cuentan, y a quien se pasa le digo cuándo puede volver. De quien se calla no guardo nada.»
Enseña: pulsa «Decir hola» ocho veces seguidas: cinco pasan, y a las demás se les dice cuánto falta. Espera y repite.
Minutos: 7
Arranca: uvicorn paso_5:app --reload
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
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
    return {"in_url": False, "renews": True}


# region deslizante
@dataclass(frozen=True)
class Decision:
    allowed: bool
    retry_after: float = 0.0


class SlidingWindow:
    """Cada petición permitida cuenta durante `seconds` segundos; quien no tiene ninguna no ocupa nada."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.times: OrderedDict[str, list[float]] = OrderedDict()

    # region preguntar
    def ask(self, user: str) -> Decision:
        now = self.clock()
        self.forget(now)
        times = [moment for moment in self.times.get(user, []) if now - moment < self.seconds]
        if len(times) >= self.limit:
            return Decision(False, retry_after=times[0] + self.seconds - now)
        times.append(now)
        self.times[user] = times
        self.times.move_to_end(user)
        return Decision(True)

    # endregion

    def forget(self, now: float) -> None:
        """Los que ya no cuentan están al principio: quien pasa se pone el último."""
        while self.times:
            user, times = next(iter(self.times.items()))
            if now - times[-1] < self.seconds:
                return
            del self.times[user]


# endregion


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


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    await attend(websocket)
