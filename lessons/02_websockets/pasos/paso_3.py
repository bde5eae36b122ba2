"""Paso 3: una sala. Lo que dice una persona llega a todas.

Di: «La sala recuerda quién está. Si un envío tiene que esperar, mientras tanto otra conexión puede entrar o
irse; por eso recorro una copia: recorrer el diccionario vivo acaba algún día en `RuntimeError: dictionary
changed size during iteration`. Y si alguien se ha caído sin avisar, su error es suyo: los demás reciben.»
Enseña: dos pestañas, Ana y Luis. Cierra una y mira el `left` en la otra. Luego pregunta: ¿y si Luis no se va,
pero deja de leer? (El envío a Luis espera, y con él la sala entera. Lo arregla el paso 4.)
Minutos: 8
Arranca: uvicorn paso_3:app --reload
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region protocolo
class Say(BaseModel):
    type: Literal["say"]
    text: str = Field(min_length=1)


class Ping(BaseModel):
    type: Literal["ping"]


Request = TypeAdapter[Say | Ping](Annotated[Say | Ping, Field(discriminator="type")])


def explain(problem: ValidationError) -> dict[str, Any]:
    """Un motivo que el programa del otro lado puede comparar y una frase que su autor puede leer."""
    if problem.errors(include_url=False)[0]["type"] == "json_invalid":
        return {"type": "error", "reason": "invalid_json", "detail": "eso no es JSON"}
    return {"type": "error", "reason": "invalid_message", "detail": "se espera «say», con «text», o «ping»"}


# endregion


# region sala
class Room:
    def __init__(self) -> None:
        self._members: dict[WebSocket, str] = {}
        self._said = 0

    async def join(self, websocket: WebSocket, name: str) -> None:
        self._members[websocket] = name
        await self._broadcast({"type": "joined", "name": name, "people": self._people()})

    async def leave(self, websocket: WebSocket, code: int) -> None:
        name = self._members.pop(websocket)
        await self._broadcast({"type": "left", "name": name, "code": code, "people": self._people()})

    async def say(self, websocket: WebSocket, text: str) -> None:
        self._said += 1
        name = self._members[websocket]
        await self._broadcast({"type": "said", "name": name, "text": text, "number": self._said})

    def _people(self) -> list[str]:
        return sorted(self._members.values())

    async def _broadcast(self, event: dict[str, Any]) -> None:
        for websocket in list(self._members):
            with suppress(WebSocketDisconnect, RuntimeError):
                await send(websocket, event)


room = Room()
# endregion


# region conversar
@app.websocket("/ws/chat")
async def chat(websocket: WebSocket, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    await websocket.accept()
    code = 1006
    try:
        await room.join(websocket, name)
        await converse(websocket)
    except WebSocketDisconnect as end:
        code = end.code
    finally:
        await room.leave(websocket, code)


async def converse(websocket: WebSocket) -> None:
    while True:
        try:
            request = Request.validate_json(await websocket.receive_text())
        except ValidationError as problem:
            await send(websocket, explain(problem))
            continue
        match request:
            case Say(text=said):
                await room.say(websocket, said)
            case Ping():
                await send(websocket, {"type": "pong"})


async def send(websocket: WebSocket, event: dict[str, Any]) -> None:
    await websocket.send_text(json.dumps(event, ensure_ascii=False))


# endregion
