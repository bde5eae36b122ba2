"""Paso 4: una cola por persona. La sala deja de esperar a nadie, y todas leen en el mismo orden.

Di: «Difundir ya no tiene ningún `await`: solo mete el mensaje en cada cola. Sin `await` nadie se cuela en
medio: no hace falta copiar y el orden es el mismo en todas. De vaciar cada cola se ocupa una tarea, el
emisor, la única que escribe en ese WebSocket. La cola tiene tope: quien no lee no gasta mi memoria. Y como
entrar tampoco espera, puedo exigir nombres únicos: el repetido se rechaza antes de aceptar, con un HTTP 403.»
Enseña: receptor y emisor son dos funciones con nombre; `talk` las une y el `finally` apaga la que queda.
Minutos: 11
Arranca: uvicorn paso_4:app --reload
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region topes
MAX_PENDING = 100
# endregion


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
@dataclass(slots=True, eq=False)
class Member:
    name: str
    outbox: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(MAX_PENDING))
    late: bool = False

    def receive(self, event: dict[str, Any]) -> None:
        try:
            self.outbox.put_nowait(json.dumps(event, ensure_ascii=False))
        except asyncio.QueueFull:
            self.late = True


class Room:
    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._said = 0

    def join(self, name: str) -> Member:
        member = self._members[name] = Member(name)
        self._broadcast({"type": "joined", "name": name, "people": sorted(self._members)})
        return member

    def leave(self, member: Member, code: int) -> None:
        del self._members[member.name]
        self._broadcast({"type": "left", "name": member.name, "code": code, "people": sorted(self._members)})

    def say(self, member: Member, text: str) -> None:
        self._said += 1
        self._broadcast({"type": "said", "name": member.name, "text": text, "number": self._said})

    def has(self, name: str) -> bool:
        return name in self._members

    def _broadcast(self, event: dict[str, Any]) -> None:
        for member in self._members.values():
            member.receive(event)


room = Room()
# endregion


# region conversar
async def converse(websocket: WebSocket, member: Member) -> None:
    """Receptor: lee, valida y actúa, hasta que la conexión acaba con una excepción."""
    while True:
        try:
            request = Request.validate_json(await websocket.receive_text())
        except ValidationError as problem:
            member.receive(explain(problem))
            continue
        match request:
            case Say(text=said):
                room.say(member, said)
            case Ping():
                member.receive({"type": "pong"})


async def deliver(websocket: WebSocket, member: Member) -> None:
    """Emisor: el único que escribe en este WebSocket, y por eso el orden es el de la cola."""
    with suppress(WebSocketDisconnect):
        while not member.late:
            await websocket.send_text(await member.outbox.get())
        await websocket.close(1013, "vas demasiado atrasado; vuelve a conectarte")


# endregion


# region entrada
@app.websocket("/ws/chat")
async def chat(websocket: WebSocket, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    if room.has(name):
        raise WebSocketException(1008, "ese nombre ya está en la sala")  # antes de aceptar: HTTP 403
    # Entre mirar y entrar no hay ningún `await`: nadie puede colarse con el mismo nombre.
    member = room.join(name)
    code = 1006
    try:
        await websocket.accept()
        await talk(websocket, member)
    except WebSocketDisconnect as end:
        code = end.code
    finally:
        room.leave(member, code)


async def talk(websocket: WebSocket, member: Member) -> None:
    """Une emisor y receptor: cuando el receptor acaba, el emisor sobra."""
    sender = asyncio.create_task(deliver(websocket, member))
    try:
        await converse(websocket, member)
    finally:
        sender.cancel()


# endregion
