"""Los robots de la plaza: quienes hablan y quienes leen, con un cliente bueno y otro descuidado."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any
from uuid import uuid4

from client import AWAY, PATIENCE_SECONDS, Person, events, send
from ledger import Ledger, ReaderState
from websockets.asyncio.client import ClientConnection

PAUSE_SECONDS = 0.12
CUT_EVERY = 20
RETURN_SECONDS = (0.05, 0.4)
PAGE = 200
LONG = " bla" * 950


@dataclass
class Town:
    """Lo que los robots saben de la plaza: dónde están sus procesos, en qué sala se habla y quién lleva las cuentas."""

    bases: dict[str, str]
    ledger: Ledger
    room: int = 0
    talking: asyncio.Event = field(default_factory=asyncio.Event)
    chatty: bool = False
    same_id: bool = True


@dataclass
class Talker:
    """Dice frases numeradas, una detrás de otra; de la que no recibe recibo, la repite."""

    person: Person
    town: Town
    turns: Iterator[str]
    _pending: list[tuple[str, str]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _sent: Iterator[int] = field(default_factory=lambda: count(1))

    async def run(self) -> None:
        while True:
            with suppress(*AWAY):
                async with self.person.socket(self.town.bases[next(self.turns)]) as websocket:
                    await send(websocket, type="join", room=self.town.room)
                    await joined(websocket)
                    while True:
                        if not self._pending:  # lo que no tiene recibo se repite, aunque ya haya que callar
                            await self.town.talking.wait()
                        await self._say(websocket)
                        await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(*RETURN_SECONDS))

    # region repetir
    async def _say(self, websocket: ClientConnection) -> None:
        """Una frase nueva, o la que se quedó sin recibo: con el mismo `client_id`, para que no sea otro mensaje."""
        phrase, client_id = self._pending.pop() if self._pending else (f"{self.person.name} {next(self._numbers)}", "")
        if not client_id or not self.town.same_id:
            client_id = uuid4().hex
        self._pending.append((phrase, client_id))
        self.town.ledger.say(phrase)
        text = f"{phrase}.{LONG if self.town.chatty else ''}"
        await send(websocket, type="send", room=self.town.room, text=text, client_id=client_id)
        if next(self._sent) % CUT_EVERY == 0:
            raise ConnectionResetError("como un móvil que entra en un túnel: lo dice, y no oye el recibo")
        reply = await answer_to(websocket, client_id)
        if reply["type"] == "ack":
            self._pending.clear()
            self.town.ledger.acknowledge(phrase, reply["seq"])
        else:
            await asyncio.sleep(reply.get("retry_after", RETURN_SECONDS[1]))

    # endregion


async def joined(websocket: ClientConnection) -> None:
    """Espera a estar dentro: hasta entonces no se puede hablar. TimeoutError si no llega a tiempo."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in events(websocket):
            if event["type"] == "joined":
                return
    raise TimeoutError


async def answer_to(websocket: ClientConnection, client_id: str) -> dict[str, Any]:
    """El recibo o el error de un mensaje. TimeoutError si no llega a tiempo."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in events(websocket):
            if event.get("client_id") == client_id and event["type"] in ("ack", "error"):
                return event
    raise TimeoutError


@dataclass
class Reader:
    """Lee la sala. El cuidadoso recuerda por dónde iba y lo dice al volver; el descuidado, no."""

    person: Person
    town: Town
    careful: bool
    turns: Iterator[str]
    process: str | None = None
    returns: int = -1
    _websocket: ClientConnection | None = None
    _position: dict[str, Any] | None = None
    _wait: float | None = None
    _awake: asyncio.Event = field(init=False)

    def __post_init__(self) -> None:
        self._awake = asyncio.Event()
        self._awake.set()

    @property
    def name(self) -> str:
        return self.person.name

    # region volver
    async def run(self) -> None:
        """Se conecta, lee hasta que se corta, y vuelve: cuando le digan o, si no le dicen nada, al azar."""
        while True:
            process = next(self.turns)
            with suppress(*AWAY):
                async with self.person.socket(self.town.bases[process], small=self.stalled) as self._websocket:
                    position = self._position if self.careful else None
                    await send(self._websocket, type="join", room=self.town.room, position=position)
                    async for event in events(self._websocket):
                        await self._take(event, process)
                        await self._awake.wait()
            self._left()
            await asyncio.sleep(self._wait or random.uniform(*RETURN_SECONDS))
            self._wait = None

    async def _take(self, event: dict[str, Any], process: str) -> None:
        match event["type"]:
            case "joined":
                await self._arrived(event, process)
            case "message":
                self._see(event)
            case "goodbye":
                self._wait = event["retry_after_ms"] / 1000
            case "error":
                raise ConnectionResetError("no lo dejan entrar: que pruebe con otra conexión")

    # endregion

    async def _arrived(self, joined: dict[str, Any], process: str) -> None:
        self.process, self.returns = process, self.returns + 1
        if joined["recovered"] is False:
            await self._reload(joined["seq"], process)
        if self._position is None:
            self._position = {"seq": joined["seq"]}
            self.town.ledger.enter(self.name, joined["seq"])
        self._position["epoch"] = joined["epoch"]
        if self.returns:
            how = {True: "recupera lo perdido", False: "recarga el historial", None: "no dice por dónde iba"}
            self.town.ledger.note(f"{self.name} vuelve por {process} y {how[joined['recovered']]}")

    # region recargar
    async def _reload(self, head: int, process: str) -> None:
        """Falta demasiado para recuperarlo por el WebSocket: se pide por páginas, de la última hacia atrás."""
        assert self._position
        known = self._position["seq"]
        missed: list[dict[str, Any]] = []
        before: int | None = head + 1
        async with self.person.http(self.town.bases[process]) as http:
            while before and before > known + 1:
                where = {"before": before, "limit": PAGE}
                answer = await http.get(f"/api/rooms/{self.town.room}/messages", params=where)
                page = answer.raise_for_status().json()
                missed = page["messages"] + missed
                before = page["next_before"]
        for message in missed:
            if message["seq"] > known:
                self._see(message)

    # endregion

    def _see(self, message: dict[str, Any]) -> None:
        self._position = {**(self._position or {}), "seq": message["seq"]}
        self.town.ledger.see(self.name, message["text"].partition(".")[0], message["seq"])

    def _left(self) -> None:
        code = self._websocket.close_code if self._websocket else None
        if self.process is not None:
            self.town.ledger.note(f"{self.name} pierde su conexión con {self.process} ({code})")
        self._websocket = self.process = None

    @property
    def stalled(self) -> bool:
        return not self._awake.is_set()

    def stall(self) -> None:
        """Se pasa a una conexión estrecha y deja de leer, como una pestaña que el navegador ha dormido."""
        self._awake.clear()
        if self._websocket is not None:
            self._websocket.transport.abort()

    def wake(self) -> None:
        self._awake.set()

    def state(self) -> ReaderState:
        reading = self.town.ledger.readings[self.name]
        delay, reading.delay = reading.delay, None
        return ReaderState(
            name=self.name,
            careful=self.careful,
            process=self.process,
            stalled=self.stalled,
            received=len(reading.seen),
            coming=reading.coming,
            lost=reading.lost,
            duplicated=reading.duplicated,
            disordered=reading.disordered,
            returns=max(0, self.returns),
            delay_ms=None if delay is None else round(delay * 1000, 1),
        )


def turns(first: int, names: list[str]) -> Iterator[str]:
    """Los procesos por orden, empezando por el que le toca."""
    return cycle(names[first % len(names) :] + names[: first % len(names)])
