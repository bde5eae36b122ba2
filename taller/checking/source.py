"""Una fuente de datos que el control gobierna: una API de verdad que cuenta lo que le piden, tarda, falla y cambia.

    source.records["/products/7"] = {"id": "7", "name": "té", "price": 300}
    held = source.hold("GET")             # la próxima lectura se atiende, pero su respuesta espera
    …                                     # la app pide GET /products/7
    await held.arrived()
    held.release()
    source.count("GET", "/products/7")    # 1

Una ruta sin registro contesta 404. `PUT` mezcla su cuerpo con el registro, le suma uno a su `version` y lo
devuelve. Lo que se contesta es lo que había al llegar la petición, por mucho que tarde la respuesta.
"""

import asyncio
import contextlib
import json
import random
import shutil
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from taller.patience import patience
from taller.runner.runner import can_fork
from taller.short_paths import socket_folder
from taller.wire import Mismatch, transcript
from taller.wire.compare import show
from taller.wire.target import DEADLINE

Answer = tuple[int, Any]
MAX_BODY = 64 * 1024


@dataclass(frozen=True)
class Call:
    """Una petición que ha llegado a la fuente."""

    method: str
    path: str
    body: Any = None


@dataclass
class Held:
    """La próxima petición de un método: `arrived` espera a que llegue; `release` deja salir su respuesta."""

    method: str
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def arrived(self, within: float = DEADLINE) -> None:
        """
        Raises:
            Mismatch: la app no hace esa petición a la fuente en `within` segundos.
        """
        try:
            async with asyncio.timeout(patience(within)):
                await self._arrived.wait()
        except TimeoutError:
            raise Mismatch(f"que tu app pida a la fuente un {self.method}", f"nada en {within:g} s") from None

    def release(self) -> None:
        transcript.note(f"la fuente deja salir la respuesta al {self.method} que retenía")
        self.let_go()

    def let_go(self) -> None:
        self._released.set()

    def waits_for(self, call: Call) -> bool:
        return call.method == self.method and not self._arrived.is_set()

    async def wait(self) -> None:
        self._arrived.set()
        await self._released.wait()


class Source:
    """La fuente en marcha; `env` es lo que necesita una app para encontrarla."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        self._holds: list[Held] = []
        self.reset()

    def reset(self) -> None:
        """La deja vacía, rápida y sana, y suelta lo que retuviera."""
        for held in self._holds:
            held.let_go()
        self.records: dict[str, dict[str, Any]] = {}
        self.calls: list[Call] = []
        self.delay: tuple[float, float] = (0.0, 0.0)
        self._failures: deque[int] = deque()
        self._holds = []

    def count(self, method: str, path: str) -> int:
        """Cuántas veces han pedido eso."""
        return sum(call.method == method and call.path == path for call in self.calls)

    def fail_next(self, times: int = 1, status: int = 503) -> None:
        """Las `times` peticiones siguientes fallan con `status`, sin leer ni cambiar nada."""
        self._failures.extend([status] * times)

    def hold(self, method: str = "GET") -> Held:
        """Retiene la respuesta de la próxima petición de ese método; varias, por orden de llegada."""
        self._holds.append(held := Held(method))
        return held

    async def attend(self, call: Call) -> Answer:
        """Atiende una petición: primero lo que cambia, después lo que tarda."""
        self.calls.append(call)
        transcript.add("app", "fuente", "http", f"{call.method} {call.path} {show(call.body) if call.body else ''}")
        answer = self._process(call)
        if held := next((held for held in self._holds if held.waits_for(call)), None):
            await held.wait()
        await asyncio.sleep(random.uniform(*self.delay))
        transcript.add("fuente", "app", "http", f"{answer[0]} {show(answer[1])}")
        return answer

    def _process(self, call: Call) -> Answer:
        if self._failures:
            return self._failures.popleft(), {"detail": "la fuente falla a propósito"}
        record = self.records.get(call.path)
        if record is None:
            return 404, {"detail": "no existe"}
        if call.method == "PUT":
            if not isinstance(call.body, dict):
                return 422, {"detail": "se espera un objeto JSON"}
            record = {**record, **call.body, "version": record.get("version", 0) + 1}
            self.records[call.path] = record
        return 200, record

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Una conexión, con todas las peticiones que traiga."""
        http = h11.Connection(h11.SERVER)
        with contextlib.suppress(ConnectionError, h11.ProtocolError, ValueError):
            while call := await _read(http, reader):
                writer.write(_response(http, await self.attend(call)))
                await writer.drain()
                if http.our_state is not h11.DONE:
                    break
                http.start_next_cycle()
        writer.close()


async def _read(http: h11.Connection, reader: asyncio.StreamReader) -> Call | None:
    """La siguiente petición entera; None si el cliente ha cerrado."""
    request: h11.Request | None = None
    body = b""
    while True:
        match event := http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await reader.read(65536))
            case h11.Request():
                request = event
            case h11.Data() if len(body) + len(event.data) <= MAX_BODY:
                body += event.data
            case h11.EndOfMessage() if request:
                method, path = request.method.decode(), request.target.decode()
                return Call(method, path, json.loads(body) if body else None)
            case _:
                return None


def _response(http: h11.Connection, answer: Answer) -> bytes:
    status, content = answer
    body = json.dumps(content).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    events = [h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()]
    return b"".join(http.send(event) or b"" for event in events)


@contextlib.asynccontextmanager
async def running_source() -> AsyncIterator[Source]:
    """Una fuente para el bloque `async with`, en un socket Unix o, donde no los hay, en 127.0.0.1."""
    source = Source()
    folder = socket_folder()
    try:
        async with await _listen(source, folder):
            yield source
            source.reset()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _listen(source: Source, folder: Path) -> asyncio.Server:
    if can_fork():
        path = str(folder / "source.sock")
        source.env = {"SOURCE_URL": "http://source", "SOURCE_SOCKET": path}
        return await asyncio.start_unix_server(source.serve, path)
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    source.env = {"SOURCE_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    return server
