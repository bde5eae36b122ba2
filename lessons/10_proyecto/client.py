"""Un cliente de Plaza: una persona que entra, pide un billete y se conecta con uno de los procesos."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

PASSWORD = "plaza-de-ejemplo"
PATIENCE_SECONDS = 2.0
# Con trozos y búferes pequeños el núcleo guarda cientos de KB de quien no lee, y no megabytes: se le nota antes.
SMALL_SEGMENT, SMALL_BUFFER = 1000, 4096

# Maneras de no poder: todas se arreglan volviendo a intentarlo.
AWAY = (ConnectionClosed, InvalidHandshake, httpx.HTTPError, OSError, TimeoutError)


@dataclass
class Person:
    """Alguien con cuenta; `token`, el de acceso."""

    name: str
    token: str = ""

    @asynccontextmanager
    async def http(self, base: str) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as http:
            yield http

    async def enter(self, base: str) -> None:
        """Se da de alta y entra."""
        account = {"username": self.name, "password": PASSWORD}
        async with self.http(base) as http:
            created = await http.post("/api/users", json={**account, "email": f"{self.name}@example.org"}, timeout=20)
            created.raise_for_status()
            answer = await http.post("/api/login", json=account, timeout=20)
            self.token = answer.raise_for_status().json()["access_token"]

    async def open_room(self, base: str, name: str) -> int:
        """Abre una sala pública; devuelve su número."""
        async with self.http(base) as http:
            answer = await http.post("/api/rooms", json={"name": name, "private": False})
            return int(answer.raise_for_status().json()["id"])

    # region billete
    @asynccontextmanager
    async def socket(self, base: str, small: bool = False) -> AsyncIterator[ClientConnection]:
        """Un WebSocket con el proceso de `base`. En la URL va un billete de un solo uso, no el token."""
        async with self.http(base) as http:
            ticket = (await http.post("/api/tickets")).raise_for_status().json()["ticket"]
        url = f"ws{base.removeprefix('http')}/ws?ticket={ticket}"
        raw = small_socket(base) if small else None
        queue = 1 if small else 16
        async with connect(
            url,
            sock=raw,
            compression=None,
            ping_interval=None,
            proxy=None,
            close_timeout=0.5,
            max_size=None,
            max_queue=queue,
        ) as websocket:
            yield websocket

    # endregion


def small_socket(base: str) -> socket.socket:
    """Una conexión con búferes pequeños. En esta misma máquina conectar es cosa de un instante, o se niega."""
    url = httpx.URL(base)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    if hasattr(socket, "TCP_MAXSEG"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
    raw.settimeout(PATIENCE_SECONDS)
    raw.connect((url.host, url.port))
    return raw


# region lineas
async def events(websocket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """Lo que llega, suceso a suceso: una trama puede traer varias líneas."""
    async for frame in websocket:
        for line in str(frame).split("\n"):
            if line:
                yield json.loads(line)


# endregion


async def send(websocket: ClientConnection, **order: Any) -> None:
    await websocket.send(json.dumps(order))
