"""Lo que ocupa en el servidor una conexión que no hace nada, contado desde fuera."""

import asyncio
import gc
from collections.abc import Sequence

import psutil

from fanout.client import Load, Seat, take_seats

KIB = 1024
SETTLE_SECONDS = 1.0
ANSWER_SECONDS = 30.0
AT_ONCE = 25


async def websocket_kib(pid: int, warm: Load, load: Load) -> float:
    """KiB de memoria residente por WebSocket abierto y en la sala, sin lo que se reserva una vez."""
    for seat in await take_seats(warm, [], warm.targets):
        seat.transport.abort()
    await asyncio.sleep(SETTLE_SECONDS)
    before = _rss(pid)
    seats = await take_seats(load, [], load.targets)
    await asyncio.sleep(SETTLE_SECONDS)
    grown = _rss(pid) - before
    _hang_up(seats)
    return grown / KIB / len(seats)


async def stream_kib(pid: int, port: int, warm: Sequence[str], paths: Sequence[str]) -> float:
    """Lo mismo, por cada flujo SSE abierto."""
    for writer in await _open_streams(port, warm):
        writer.transport.abort()
    await asyncio.sleep(SETTLE_SECONDS)
    before = _rss(pid)
    writers = await _open_streams(port, paths)
    await asyncio.sleep(SETTLE_SECONDS)
    grown = _rss(pid) - before
    for writer in writers:
        writer.transport.abort()
    return grown / KIB / len(writers)


async def _open_streams(port: int, paths: Sequence[str]) -> list[asyncio.StreamWriter]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def open_one(path: str) -> asyncio.StreamWriter:
        async with gate, asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await reader.readuntil(b"retry:")
            return writer

    return list(await asyncio.gather(*(open_one(path) for path in paths)))


def _hang_up(seats: list[Seat]) -> None:
    for seat in seats:
        seat.transport.abort()


def _rss(pid: int) -> int:
    gc.collect()
    return int(psutil.Process(pid).memory_info().rss)
