"""Las rutas del panel de avisos: la página es Ana, con un WebSocket y un flujo por cada versión."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import uuid4

from channels import Attempt, Channel, Notification, deliver
from fastapi import APIRouter, Depends, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from mail import Mail
from notes import notify
from pydantic import BaseModel, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent

from taller.services import Mailbox, Valkey

# Los apuntes no tienen plazo: aquí se deja de mirar a los tantos segundos, para que el botón vuelva.
LOOK_SECONDS = 3.0

router = APIRouter()
Kind = Literal["naive", "right"]


class Answer(BaseModel):
    type: Literal["ack", "nack"]
    id: str


class Outcome(BaseModel):
    """`receipt` es lo que la app dice que pasó; None si no llegó a decir nada. `said`, por qué."""

    receipt: str | None
    seconds: float
    said: str
    attempts: list[Attempt]


@dataclass
class Desk:
    """Los canales de cada versión y el correo, que es de las dos."""

    mail: Mail
    mailbox: Mailbox
    redis: Valkey
    websockets: dict[str, Channel] = field(default_factory=lambda: {"naive": Channel(), "right": Channel()})
    streams: dict[str, Channel] = field(default_factory=lambda: {"naive": Channel(), "right": Channel()})


def get_desk(connection: HTTPConnection) -> Desk:
    desk: Desk = connection.app.state.desk
    return desk


DeskDep = Annotated[Desk, Depends(get_desk)]


class NewNotification(BaseModel):
    text: str


@router.post("/api/notifications/{kind}")
async def send_notification(kind: Kind, new: NewNotification, desk: DeskDep) -> Outcome:
    note = Notification(id=uuid4().hex, text=new.text)
    started = time.monotonic()
    if kind == "naive":
        receipt, said, attempts = *await like_the_notes(desk, note), list[Attempt]()
    else:
        channels: Any = {
            "websocket": desk.websockets["right"].offer,
            "sse": desk.streams["right"].offer,
            "email_queued": desk.mail.enqueue,
        }
        attempts = await deliver(channels, note)
        receipt = attempts[-1].channel if attempts[-1].ok else None
        said = "" if receipt else "503: ningún canal lo ha conseguido"
    return Outcome(receipt=receipt, seconds=round(time.monotonic() - started, 2), said=said, attempts=attempts)


async def like_the_notes(desk: Desk, note: Notification) -> tuple[str | None, str]:
    async def by_websocket(user: str, text: str) -> bool:
        return await desk.websockets["naive"].offer(note)

    async def by_stream(user: str, text: str) -> bool:
        return await desk.streams["naive"].offer(note)

    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await notify(by_websocket, by_stream, "ana", note.text), ""
    except TimeoutError:
        return None, f"a los {LOOK_SECONDS:g} s seguía esperando"
    except Exception as problem:
        return None, f"500: {type(problem).__name__}: {problem}"


@router.websocket("/ws/notifications/{kind}")
async def websocket_channel(websocket: WebSocket, kind: Kind, desk: DeskDep) -> None:
    await websocket.accept()
    with desk.websockets[kind].listening() as listener:
        sender = asyncio.create_task(forward(websocket, listener.outbox))
        try:
            with suppress(WebSocketDisconnect):
                while True:
                    with suppress(ValidationError):
                        answer = Answer.model_validate_json(await websocket.receive_text())
                        listener.answer(answer.id, answer.type == "ack")
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


async def forward(websocket: WebSocket, outbox: asyncio.Queue[Notification]) -> None:
    await websocket.send_json({"type": "ready"})
    while True:
        note = await outbox.get()
        await websocket.send_json({"type": "notification", **note.model_dump()})


@router.get("/api/notifications/{kind}/events")
async def stream_channel(kind: Kind, desk: DeskDep) -> EventSourceResponse:
    return EventSourceResponse(follow(desk.streams[kind]))


async def follow(channel: Channel) -> AsyncIterator[ServerSentEvent]:
    with channel.listening() as listener:
        yield ServerSentEvent(event="ready", data="{}")
        while True:
            note = await listener.outbox.get()
            yield ServerSentEvent(event="notification", data=json.dumps(note.model_dump(), ensure_ascii=False))


@router.post("/api/notifications/{kind}/{note_id}/{answer}", status_code=204)
async def answer_stream(kind: Kind, note_id: str, answer: Literal["ack", "nack"], desk: DeskDep) -> None:
    """Por un flujo no se puede contestar: se contesta aparte."""
    for listener in list(desk.streams[kind].listeners):
        listener.answer(note_id, answer == "ack")


@router.get("/api/mails")
async def mails(desk: DeskDep) -> list[str]:
    if not desk.mailbox.readable:
        raise HTTPException(409, "El correo va a SMTP_URL: míralo allí.")
    return [mail.body for mail in desk.mailbox.messages]


@router.put("/api/mail-queue/{state}", status_code=204)
async def set_mail_queue(state: Literal["up", "down"], desk: DeskDep) -> None:
    await (desk.redis.start() if state == "up" else desk.redis.kill())
