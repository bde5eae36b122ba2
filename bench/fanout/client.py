"""Muchas conexiones en una sala, en un proceso aparte y con lo mínimo: cuenta lo que llega y cuánto ha tardado.

Lee por la entrada estándar un `Load` en JSON y escribe por la salida un `Outcome` en JSON. Habla WebSocket a mano
sobre uvloop: una biblioteca gastaría en cada trama más que el servidor que se mide. Cada mensaje lleva su número,
`<t:00000123>`, y se envía a su hora aunque los anteriores no hayan llegado (bucle abierto): lo que se retrasa cuenta
desde la hora a la que tocaba.
"""

import asyncio
import gc
import json
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

TOKEN = re.compile(rb"<t:(\d{8})>")
TOKEN_BYTES = 12
CONNECT_AT_ONCE = 25
CONNECT_SECONDS, RETRY_SECONDS = 150.0, 0.5
FLOOD_RATE, FLOOD_SECONDS = 400.0, 4.0
# Lo que se espera, tras el último envío, a lo que aún no ha llegado.
GRACE_SECONDS = 5.0
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


@dataclass(frozen=True)
class Load:
    """Qué conexiones se abren y qué se envía por ellas.

    `targets`: un [puerto, ruta] por conexión. `hello`: lo que se envía al abrir, y `ready`: lo que llega cuando ya se
    está en la sala. `greeting`: lo que el servidor dice antes, si lo dice. En `frame`, `{token}` es el número que se
    busca a la vuelta, y `{number}` el mismo, para lo que no deba contarse.
    """

    targets: list[tuple[int, str]]
    frame: str
    hello: str = ""
    greeting: str = ""
    ready: str = ""
    senders: int = 20
    rate: float = 100.0
    warmup: float = 2.0
    seconds: float = 8.0
    pids: list[int] = field(default_factory=list)
    # De recambio: con billetes de un solo uso, a quien no se le abre a la primera hay que darle otro.
    spares: list[tuple[int, str]] = field(default_factory=list)
    # Además, conexiones que entran y no leen nunca. Antes de que lleguen los demás se envía `flood` durante
    # FLOOD_SECONDS para llenarles lo que el sistema guarda por el camino: hasta entonces no se nota que no leen.
    stalled: list[tuple[int, str]] = field(default_factory=list)
    flood: str = ""


@dataclass(frozen=True)
class Outcome:
    """`delivered`, cuántas entregas ha habido en la ventana; `missing`, cuántas no han llegado ni con prórroga.

    `closed`: cuántas conexiones ha cerrado el servidor, por código.
    """

    expected: int
    missing: int
    delivered: int
    seconds: float
    p50: float | None
    p99: float | None
    server_cpu: float
    client_cpu: float
    closed: dict[str, int]


def masked(text: str) -> bytes:
    """Una trama de texto con máscara de ceros: el contenido viaja tal cual."""
    data = text.encode()
    if len(data) < 126:
        return bytes([0x81, 0x80 | len(data)]) + bytes(4) + data
    return bytes([0x81, 0xFE]) + len(data).to_bytes(2, "big") + bytes(4) + data


CLOSE = b"\x88\x02"
PONG = b"\x8a\x80" + bytes(4)
ENGINE_PING, ENGINE_PONG = b"\x81\x012", masked("3")


class Seat(asyncio.Protocol):
    """Una conexión de la sala."""

    def __init__(self, load: Load, path: str, log: list[tuple[float, list[bytes]]]) -> None:
        self.load, self.path, self.log = load, path, log
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self._steps = [b"\r\n\r\n", *(text.encode() for text in (load.greeting, load.ready) if text)]
        self._rest = b""
        self.closed = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(HANDSHAKE.format(path=self.path).encode())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"el servidor ha cerrado antes de tiempo: {error}"))
        self.closed = self.closed or "1006"

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._rest + data
        if not self.ready.done():
            self._enter(data)
            return
        if tokens := TOKEN.findall(data):
            self.log.append((now, tokens))
        # Un número partido entre dos lecturas: se guarda su principio.
        self._rest = data[max(data.rfind(b">") + 1, len(data) - TOKEN_BYTES + 1) :]
        # Los textos son ASCII: 0x89 solo puede ser un ping, o parte de una longitud, y un pong de más no molesta.
        if b"\x89" in data:
            self.transport.write(PONG)
        if (place := data.find(CLOSE)) >= 0:
            self.closed = str(int.from_bytes(data[place + 2 : place + 4], "big"))
        if ENGINE_PING in data:
            self.transport.write(ENGINE_PONG)

    def _enter(self, data: bytes) -> None:
        """Los pasos hasta estar en la sala: el apretón de manos, el saludo del servidor y la confirmación."""
        self._rest = data
        while self._steps and (place := self._rest.find(self._steps[0])) >= 0:
            self._rest = self._rest[place + len(self._steps[0]) :]
            done = self._steps.pop(0)
            if done == b"\r\n\r\n" and b" 101 " not in data:
                self.ready.set_exception(ConnectionError(f"no ha aceptado: {data[:100]!r}"))
                return
            if self.load.hello and len(self._steps) == 1:
                self.transport.write(masked(self.load.hello))
        if not self._steps:
            self.ready.set_result(None)


async def take_seats(
    load: Load, log: list[tuple[float, list[bytes]]], targets: Sequence[tuple[int, str]]
) -> list[Seat]:
    """Abre esas conexiones, de pocas en pocas, y vuelve cuando todas están en la sala."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(CONNECT_AT_ONCE)

    async def take(port: int, path: str) -> Seat:
        async with gate:
            _, seat = await loop.create_connection(lambda: Seat(load, path, log), "127.0.0.1", port)
            try:
                await seat.ready
            except ConnectionError:
                if not load.spares:
                    raise
            else:
                return seat
        await asyncio.sleep(RETRY_SECONDS)
        return await take(*load.spares.pop())

    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.gather(*(take(port, path) for port, path in targets))


async def stall(load: Load) -> None:
    """Entra en la sala por cada uno de los atascados, con lo mínimo para guardar, y deja de leer."""
    loop = asyncio.get_running_loop()
    for port, path in load.stalled:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", port))
        raw.setblocking(False)
        _, seat = await loop.create_connection(lambda path=path: Seat(load, path, []), sock=raw)  # type: ignore[misc]
        await seat.ready
        seat.transport.pause_reading()


@dataclass
class Run:
    """Los envíos, cada uno a su hora. `due[n]`: cuándo tocaba el mensaje `n`."""

    load: Load
    seats: list[Seat]
    log: list[tuple[float, list[bytes]]]
    due: list[float] = field(default_factory=list)

    async def send(self, frame: str, rate: float, seconds: float) -> None:
        """Envía durante `seconds` a ese ritmo, por turno desde cada remitente."""
        count, start = round(rate * seconds), time.monotonic() + 0.05
        for number in range(count):
            when = start + number / rate
            if (wait := when - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            open_seats = [seat for seat in self.seats[: self.load.senders] if not seat.closed]
            if not open_seats:
                raise ConnectionError("el servidor ha cerrado las conexiones que escriben")
            sender = open_seats[len(self.due) % len(open_seats)]
            index = f"{len(self.due):08}"
            text = frame.replace("{token}", f"<t:{index}>").replace("{number}", index)
            self.due.append(when)
            sender.transport.write(masked(text))

    async def warm_up(self) -> None:
        first = len(self.due)
        self.log.clear()
        await self.send(self.load.frame, self.load.rate, self.load.warmup)
        await self.settle(first)
        self.log.clear()

    def arrived(self) -> int:
        return sum(len(tokens) for _, tokens in self.log)

    async def settle(self, first: int) -> None:
        """Espera, con prórroga, a que llegue todo lo enviado desde el mensaje `first`."""
        wanted, limit = (len(self.due) - first) * len(self.seats), time.monotonic() + GRACE_SECONDS
        while self.arrived() < wanted and time.monotonic() < limit:  # noqa: ASYNC110 - contar en cada lectura costaría
            await asyncio.sleep(0.05)


def cpu_of(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


async def measure(load: Load) -> Outcome:
    log: list[tuple[float, list[bytes]]] = []
    run = Run(load, await take_seats(load, log, load.targets[: load.senders]), log)
    if load.stalled:
        await stall(load)
        await run.send(load.flood, FLOOD_RATE, FLOOD_SECONDS)
        await run.settle(0)
    run.seats += await take_seats(load, log, load.targets[load.senders :])
    await run.warm_up()
    first = len(run.due)
    started, server, client = time.monotonic(), cpu_of(load.pids), time.process_time()
    await run.send(load.frame, load.rate, load.seconds)
    ended, server, client = time.monotonic(), cpu_of(load.pids) - server, time.process_time() - client
    await run.settle(first)
    return summary(run, first, ended - started, ended, server, client)


def summary(run: Run, first: int, elapsed: float, ended: float, server: float, client: float) -> Outcome:
    """Lo no llegado cuenta como infinitamente tarde: un percentil que cae ahí no existe."""
    # Lo del calentamiento que llegue después no es de esta ventana.
    arrivals = [(now, int(token)) for now, tokens in run.log for token in tokens]
    delays = sorted(now - run.due[number] for now, number in arrivals if number >= first)
    expected = (len(run.due) - first) * len(run.seats)

    def quantile(share: float) -> float | None:
        place = int(share * (expected - 1))
        return delays[place] if place < len(delays) else None

    return Outcome(
        expected=expected,
        missing=expected - len(delays),
        delivered=sum(now <= ended for now, _ in arrivals),
        seconds=elapsed,
        p50=quantile(0.5),
        p99=quantile(0.99),
        server_cpu=server,
        client_cpu=client,
        closed=dict(Counter(seat.closed for seat in run.seats if seat.closed)),
    )


def main() -> None:
    # El recolector pararía al cliente en mitad de la medida, y aquí no hay ciclos que recoger.
    gc.disable()
    load = Load(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:
        outcome = asyncio.run(measure(load))
    else:
        outcome = uvloop.run(measure(load))
    print(json.dumps(asdict(outcome)))
    sys.stdout.flush()
    # Cientos de conexiones: que las cierre el sistema.
    os._exit(0)


if __name__ == "__main__":
    main()
