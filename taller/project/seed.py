"""Llena Plaza con datos de ejemplo, por sus propias rutas. Repetirlo no repite nada."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from taller.patience import patience
from taller.project.demo_data import CONVERSATIONS, PASSWORD, PEOPLE, ROOMS, Room
from taller.project.plan import ProjectError

SEED_SECONDS = 60.0
TAKEN = 409


@dataclass(frozen=True)
class Neighbour:
    """Alguien de la Plaza de ejemplo, con su sesión abierta."""

    name: str
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Lo que contesta Plaza; None si no trae nada."""
        answer = (await self.http.request(method, path, json=body or None)).raise_for_status()
        return answer.json() if answer.content else None

    async def enter(self) -> None:
        """Se da de alta, si hace falta, y entra."""
        account = {"username": self.name, "password": PASSWORD}
        answer = await self.http.post("/api/users", json={**account, "email": f"{self.name}@example.org"})
        if answer.status_code != TAKEN:
            answer.raise_for_status()
        tokens = await self.ask("POST", "/api/login", **account)
        self.http.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        ticket = (await self.ask("POST", "/api/tickets"))["ticket"]
        url = self.http.base_url.copy_with(scheme="ws", path="/ws", params={"ticket": ticket})
        async with connect(str(url), proxy=None, close_timeout=1) as socket:
            yield socket


async def seed(url: str) -> None:
    """Gente, salas y conversaciones.

    Raises:
        ProjectError: Plaza no hace lo que debe; si es la tuya, quizá aún no sabe.
    """
    try:
        async with asyncio.timeout(patience(SEED_SECONDS)), AsyncExitStack() as stack:
            neighbours = {name: await stack.enter_async_context(_neighbour(url, name)) for name in PEOPLE}
            for room in ROOMS:
                await _talk(room, await _ensure_room(room, neighbours), neighbours)
    except (httpx.HTTPError, WebSocketException, OSError, TimeoutError, KeyError, ValueError) as error:
        raise ProjectError(
            f"No se han podido crear los datos de ejemplo ({type(error).__name__}: {error}). "
            "Con la Plaza resuelta sí: python3 curso.py proyecto --demo"
        ) from None


@asynccontextmanager
async def _neighbour(url: str, name: str) -> AsyncIterator[Neighbour]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=patience(15)) as http:
        neighbour = Neighbour(name, http)
        await neighbour.enter()
        yield neighbour


async def _ensure_room(room: Room, neighbours: dict[str, Neighbour]) -> int:
    """El número de la sala, con su gente dentro."""
    owner = neighbours[room.people[0]]
    known = [each for each in await owner.ask("GET", "/api/rooms") if each["name"] == room.name]
    found = known[0] if known else await owner.ask("POST", "/api/rooms", name=room.name, private=room.private)
    # También en la que ya estaba: la otra vez se pudo quedar a medias.
    for name in room.people[1:]:
        await owner.ask("POST", f"/api/rooms/{found['id']}/members", username=name, role="member")
    return int(found["id"])


async def _talk(room: Room, number: int, neighbours: dict[str, Neighbour]) -> None:
    """La conversación, en orden. Cada frase lleva un id fijo: la que ya está dicha no se dice otra vez."""
    async with AsyncExitStack() as stack:
        sockets = {name: await stack.enter_async_context(neighbours[name].socket()) for name in room.people}
        for socket in sockets.values():
            await _order(socket, "joined", type="join", room=number)
        for turn, (name, text) in enumerate(CONVERSATIONS[room]):
            client_id = f"ejemplo-{room.name}-{turn}"
            await _order(sockets[name], "ack", type="send", room=number, text=text, client_id=client_id)


async def _order(socket: ClientConnection, reply: str, **order: Any) -> None:
    """Envía una orden y espera a su respuesta. ValueError si Plaza se niega."""
    await socket.send(json.dumps(order))
    async for frame in socket:
        for event in map(json.loads, filter(None, str(frame).split("\n"))):
            if event["type"] == "error":
                raise ValueError(event["detail"])
            if event["type"] == reply:
                return
