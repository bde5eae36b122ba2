"""Paso 5: límites. Un servidor abierto al mundo decide cuánto acepta de cada uno, y lo dice con un código.

Di: «Cuatro topes y cuatro códigos. Binario, 1003. Demasiado grande, 1009, y lo miro antes de analizarlo.
Demasiado deprisa, 1008, con un reloj que no salta si alguien cambia la hora. Sala llena, 1013: aquí acepto
primero, porque si rechazo antes, el navegador solo ve 1006 y no sabe si merece la pena volver.»
Enseña: baja MAX_PEOPLE a 1 y abre dos pestañas; baja MAX_BYTES a 40 y escribe una frase larga.
Minutos: 8
Arranca: uvicorn paso_5:app --reload
"""

import asyncio
import json
import time
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
MAX_PEOPLE = 20
MAX_BYTES = 100_000
MAX_PENDING = 100
BURST = 30
PER_SECOND = 10.0
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

    @property
    def is_full(self) -> bool:
        return len(self._members) >= MAX_PEOPLE

    def _broadcast(self, event: dict[str, Any]) -> None:
        for member in self._members.values():
            member.receive(event)


room = Room()
# endregion


# region cubo
class Bucket:
    """Cubo de fichas: cada mensaje gasta una; el tiempo las repone, hasta un tope."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._checked = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._checked) * PER_SECOND)
        self._checked = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


# endregion


# region recibir
async def receive_text(websocket: WebSocket) -> str:
    """Un texto de tamaño razonable. Si no lo es, la excepción que cierra con el código que toca."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    text: str | None = message.get("text")
    if text is None:
        raise WebSocketException(1003, "este chat solo admite texto")
    if len(text.encode()) > MAX_BYTES:
        raise WebSocketException(1009, f"máximo {MAX_BYTES} bytes por mensaje")
    return text


# endregion


# region conversar
async def converse(websocket: WebSocket, member: Member) -> None:
    """Receptor: lee, valida y actúa, hasta que la conexión acaba con una excepción."""
    bucket = Bucket()
    while True:
        text = await receive_text(websocket)
        if not bucket.take():
            raise WebSocketException(1008, "demasiados mensajes por segundo")
        try:
            request = Request.validate_json(text)
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
    if room.is_full:
        await websocket.accept()
        raise WebSocketException(1013, "la sala está llena; prueba más tarde")
    # Entre mirar y entrar no hay ningún `await`: nadie puede colarse con el mismo nombre.
    member = room.join(name)
    code = 1006
    try:
        await websocket.accept()
        await talk(websocket, member)
    except (WebSocketDisconnect, WebSocketException) as end:
        code = end.code
        if isinstance(end, WebSocketException):
            raise
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
