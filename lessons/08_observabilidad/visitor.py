"""Un visitante: un cliente de verdad de esta misma mini-app, que sabe lo que ha hecho y lo que le ha pasado."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 10.0
HEAVY_BYTES, HEAVY_TIMES = 64 * 1024, 400

Farewell = Literal["polite", "rude"]


class Truth(BaseModel):
    """Lo que ha pasado de verdad desde que se abrió la mini-app, contado por quienes lo han hecho."""

    open: int = 0
    sent: int = 0
    received: int = 0
    answered: int = 0
    polite: int = 0
    dropped: int = 0
    invalid: int = 0
    server: int = 0


class Visitor:
    """Una conexión que lee mientras vive. Habla de uno en uno: hasta que le contestan está ocupado."""

    def __init__(self, connection: ClientConnection, truth: Truth) -> None:
        self.connection, self.truth = connection, truth
        self.frozen = False
        self.speaking = asyncio.Lock()
        self._answered = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for _ in self.connection:
                self.truth.received += 1
                self._answered.set()

    @property
    def idle(self) -> bool:
        return not self.frozen and not self.speaking.locked()

    async def say(self, **message: Any) -> float:
        """Envía un mensaje y espera su respuesta; devuelve los segundos que ha tardado.

        Raises:
            ConnectionClosed: la conexión ha acabado. TimeoutError: no le contestan.
        """
        async with self.speaking, asyncio.timeout(PATIENCE):
            self._answered.clear()
            started = time.perf_counter()
            await self._send(json.dumps(message))
            await self._answered.wait()
            self.truth.answered += 1
            return time.perf_counter() - started

    async def freeze(self) -> None:
        """Pide muchas respuestas grandes y deja de leer, como un portátil al que se le cierra la tapa."""
        self.frozen = True
        async with self.speaking:
            self.connection.transport.pause_reading()
            await self._send(json.dumps({"text": "x" * HEAVY_BYTES, "times": HEAVY_TIMES}))

    async def spoil(self, text: str) -> None:
        """Envía algo que acaba con la conexión, y espera a que el servidor la cierre."""
        await self._send(text)
        await self.connection.wait_closed()

    async def leave(self, farewell: Farewell) -> None:
        """Se va, cuando le han contestado lo que preguntó; despidiéndose, o cortando el cable."""
        if farewell == "polite" and not self.frozen:
            async with self.speaking:
                await self.connection.close(1000)
            self.truth.polite += 1
        else:
            async with self.speaking:
                self.connection.transport.abort()
                await self.connection.wait_closed()
            self.truth.dropped += 1
        await self._reading

    async def _send(self, text: str) -> None:
        await self.connection.send(text)
        self.truth.sent += 1


@asynccontextmanager
async def passing_by(url: str, truth: Truth) -> AsyncIterator[Visitor]:
    """Un visitante de paso, que cuenta como abierto mientras está."""
    async with connect(url, compression=None, ping_interval=None, proxy=None) as connection:
        truth.open += 1
        try:
            yield Visitor(connection, truth)
        finally:
            truth.open -= 1


async def arrive(url: str, truth: Truth) -> Visitor:
    """Un visitante que se queda hasta que le digan que se vaya (`leave`)."""
    connection = await connect(url, compression=None, ping_interval=None, proxy=None)
    truth.open += 1
    return Visitor(connection, truth)
