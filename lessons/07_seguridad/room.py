"""Una sala con Ana, que publica, y Luis, que escucha por dos conexiones: una se mira al entrar; la otra, siempre."""

import asyncio
import itertools
from contextlib import suppress
from typing import Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

router = APIRouter()

Kind = Literal["naive", "right"]


class Membership(BaseModel):
    member: bool


class Seat:
    """Una conexión de Luis y lo que aún no se le ha enviado."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.outbox = kind, asyncio.Queue[dict[str, str]]()


class Room:
    def __init__(self) -> None:
        self.members = {"ana", "luis"}
        self.seats: set[Seat] = set()
        self.serial = itertools.count(1)

    # region sala
    def publish(self, text: str) -> None:
        for seat in self.seats:
            seat.outbox.put_nowait({"type": "message", "text": text})

    def expel(self, user: str) -> None:
        """La conexión correcta se entera; la ingenua solo lo habría sabido al entrar."""
        self.members.discard(user)
        for seat in [seat for seat in self.seats if seat.kind == "right"]:
            self.seats.discard(seat)
            seat.outbox.put_nowait({"type": "removed"})

    # endregion


room = Room()


@router.websocket("/room/{kind}")
async def listen(websocket: WebSocket, kind: Kind) -> None:
    await websocket.accept()
    seat = Seat(kind)
    if "luis" in room.members:
        room.seats.add(seat)
        seat.outbox.put_nowait({"type": "joined"})
    else:
        seat.outbox.put_nowait({"type": "forbidden"})
    sender = asyncio.create_task(deliver(websocket, seat))
    try:
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
    finally:
        sender.cancel()
        room.seats.discard(seat)


async def deliver(websocket: WebSocket, seat: Seat) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_json(await seat.outbox.get())


@router.post("/api/room/messages", status_code=204)
async def publish() -> None:
    room.publish(f"mensaje {next(room.serial)} de Ana")


@router.put("/api/room/members/luis")
async def change_membership(membership: Membership) -> Membership:
    if membership.member:
        room.members.add("luis")
    else:
        room.expel("luis")
    return membership
