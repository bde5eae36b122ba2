"""Un cliente de Plaza: apunta lo que ve en una sala, vuelve si lo cortan y repite lo que no le confirman."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

PASSWORD = "contraseña"
REPLY_SECONDS = 1.5
RETRY_SECONDS = 0.1


def plain_http(base: str, timeout: float, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Sin TLS: cargar los certificados cuesta más que la petición."""
    return httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout, verify=False)


@dataclass
class Person:
    """Alguien con sesión; habla con los procesos por turno."""

    name: str
    bases: list[str]
    token: str = ""
    turn: "itertools.count[int]" = field(default_factory=itertools.count)

    async def sign_up(self) -> "Person":
        async with plain_http(self.bases[0], 10) as http:
            account = {"username": self.name, "password": PASSWORD, "email": f"{self.name}@example.org"}
            (await http.post("/api/users", json=account)).raise_for_status()
            answer = await http.post("/api/login", json={"username": self.name, "password": PASSWORD})
            self.token = answer.raise_for_status().json()["access_token"]
        return self

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with plain_http(self.bases[0], 10, headers) as http:
            return await http.request(method, path, **options)

    @contextlib.asynccontextmanager
    async def socket(self, base: str | None = None) -> AsyncIterator[ClientConnection]:
        """Un WebSocket con el proceso de `base` o, si no se dice, con el siguiente."""
        base = base or self.bases[next(self.turn) % len(self.bases)]
        headers = {"Authorization": f"Bearer {self.token}"}
        async with plain_http(base, REPLY_SECONDS, headers) as http:
            ticket = (await http.post("/api/tickets")).raise_for_status().json()["ticket"]
        url = f"ws{base.removeprefix('http')}/ws?ticket={ticket}"
        async with connect(url, compression=None, proxy=None, open_timeout=REPLY_SECONDS, close_timeout=0.5) as socket:
            yield socket


AWAY = (ConnectionClosed, InvalidHandshake, httpx.HTTPError, OSError, TimeoutError)


async def events(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """Lo que llega, suceso a suceso: una trama puede traer varios."""
    async for frame in socket:
        for line in str(frame).split("\n"):
            if line:
                yield json.loads(line)


async def send(socket: ClientConnection, **order: Any) -> None:
    await socket.send(json.dumps(order))


async def until(
    socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool], within: float = 5.0
) -> dict[str, Any]:
    """El primer suceso que cumple `wanted`; TimeoutError si no llega a tiempo."""
    async with asyncio.timeout(within):
        async for event in events(socket):
            if wanted(event):
                return event
    raise AssertionError("se ha cerrado la conexión")


def of_type(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == kind


@dataclass
class Reader:
    """Lo que alguien ve de una sala, se corte las veces que se corte."""

    person: Person
    room: int
    seen: list[tuple[int, str]] = field(default_factory=list)
    lost: int = 0
    reconnections: int = -1
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _position: dict[str, Any] | None = None

    async def read(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                async with self.person.socket() as socket:
                    self.reconnections += 1
                    await send(socket, type="join", room=self.room, position=self._position)
                    async for event in events(socket):
                        self._note(event)
            await asyncio.sleep(RETRY_SECONDS)

    def _note(self, event: dict[str, Any]) -> None:
        if event["type"] == "error":
            raise ConnectionResetError(event["code"])
        if event["type"] == "joined":
            self.lost += event["recovered"] is False
            self._position = self._position or {"epoch": event["epoch"], "seq": event["seq"]}
            self.ready.set()
        elif event["type"] == "message":
            assert self._position
            self._position = {**self._position, "seq": event["seq"]}
            self.seen.append((event["seq"], event["client_id"]))


@dataclass
class Writer:
    """Quien dice `count` cosas a un ritmo, y repite con el mismo id lo que no le confirman."""

    person: Person
    room: int
    count: int
    pause: float
    acks: dict[str, int] = field(default_factory=dict)

    async def write(self) -> None:
        pending = [f"{self.person.name}-{number}" for number in range(self.count)]
        while pending:
            with contextlib.suppress(*AWAY):
                async with self.person.socket() as socket:
                    await send(socket, type="join", room=self.room)
                    await until(socket, of_type("joined"))
                    while pending:
                        await self._say(socket, pending)
                        await asyncio.sleep(self.pause)
            await asyncio.sleep(RETRY_SECONDS)

    async def _say(self, socket: ClientConnection, pending: list[str]) -> None:
        client_id = pending[0]
        await send(socket, type="send", room=self.room, text=f"soy {client_id}", client_id=client_id)
        reply = await until(
            socket, lambda event: event.get("client_id") == client_id and event["type"] in ("ack", "error")
        )
        if reply["type"] == "ack":
            self.acks[client_id] = reply["seq"]
            pending.pop(0)
        else:
            await asyncio.sleep(reply.get("retry_after") or RETRY_SECONDS)
