"""La puerta y el límite de los apuntes, con PyJWT en vez de python-jose: lo demás, tal cual."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

import jwt
from fastapi import APIRouter, HTTPException, WebSocket, WebSocketDisconnect
from tokens import ALGORITHM, SECRET

router = APIRouter()


# region puerta-ingenua
async def user_of(websocket: WebSocket, token: str) -> str | None:
    try:
        # Nuestros tokens dicen para quién son; quien no piensa en ello apaga la comprobación para que entren.
        claims = jwt.decode(token, SECRET, algorithms=[ALGORITHM], options={"verify_aud": False})
    except jwt.InvalidTokenError:
        await websocket.close(1008, "token no válido")
        return None
    if claims.get("sub") is None:
        raise HTTPException(401)
    return str(claims["sub"])


@router.websocket("/naive/ws/{token}")
async def naive_door(websocket: WebSocket, token: str) -> None:
    user = await user_of(websocket, token)
    if user is None:
        return
    await websocket.accept()
    await talk(websocket, user)


# endregion


async def talk(websocket: WebSocket, user: str) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready", "user": user})
        while True:
            message = await websocket.receive_json()
            await websocket.send_json({"type": "said", "user": user, "text": message["text"]})


# region limite-ingenuo
class NaiveLimiter:
    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    def ask(self, user: str) -> bool:
        now = self.clock()
        times = self.times[user] = [moment for moment in self.times[user] if now - moment < self.seconds]
        if len(times) >= self.limit:
            return False
        times.append(now)
        return True


# endregion
