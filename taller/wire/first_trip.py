"""El primer viaje de los clientes: hablan con una app pequeña antes de que haya nada que comprobar.

httpx, anyio y websockets también dejan cosas para el primer uso. Cada sesión de controles las hereda ya hechas.
"""

import asyncio
import contextlib

from taller.runner import Address
from taller.runner.first_trip import travel
from taller.wire.http import HttpClient
from taller.wire.sse import SseClient
from taller.wire.target import Target
from taller.wire.transcript import transcript
from taller.wire.websocket import WebSocketClient


def warm_up() -> None:
    """Hace el viaje. Si no llega, las sesiones tardarán más."""
    with contextlib.suppress(Exception, SystemExit):
        asyncio.run(travel(_speak))
    transcript.start()


async def _speak(address: Address) -> None:
    target = Target(address)
    await HttpClient(target).request("POST", "/letters/1", json={"text": "hola"}, status=201)
    await HttpClient(target).burst("GET", "/nobody", 2)
    async with SseClient.open(target, "/stream") as stream:
        await stream.block()
    async with WebSocketClient.open(target, "/ws") as websocket:
        await websocket.send_json({"text": "hola"})
        await websocket.receive_json()
