"""La sonda: cuánto tarda la API en contestar a /ping, diez veces por segundo."""

import asyncio
import time

import httpx
from board import Board
from stage import Stage

PERIOD_SECONDS = 0.1


async def probe(stage: Stage, board: Board) -> None:
    """Publica el retraso de la última respuesta o, si la API sigue sin contestar, lo que lleva esperando."""
    pings: set[asyncio.Task[None]] = set()
    while True:
        if (client := stage.api) and not pings:
            ping = asyncio.create_task(measure(client, board))
            pings.add(ping)
            ping.add_done_callback(pings.discard)
        await asyncio.sleep(PERIOD_SECONDS)


async def measure(client: httpx.AsyncClient, board: Board) -> None:
    """Publica lo que tarda un /ping, y mientras no acaba, lo que lleva."""
    start = time.perf_counter()
    asked = asyncio.create_task(client.get("/ping"))
    while not (await asyncio.wait([asked], timeout=PERIOD_SECONDS))[0]:
        publish(board, start, waiting=True)
    if asked.exception() is None:
        publish(board, start, waiting=False)


def publish(board: Board, start: float, *, waiting: bool) -> None:
    board.publish({"type": "lag", "ms": (time.perf_counter() - start) * 1000, "waiting": waiting})
