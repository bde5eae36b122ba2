"""Gente de Plaza: cuentas, salas y conexiones que entienden el protocolo."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asyncpg

from taller.checking import App, Matching, Mismatch, expect
from taller.services import Postgres
from taller.wire import SseClient, WebSocketClient
from taller.wire.compare import Pattern, difference, show

PASSWORD = "contraseña larga"
DEADLINE = 2.0
# Argon2 es lento a propósito, y se hacen varios a la vez.
HASHING_SECONDS = 10.0
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 0.1
# Lo más largo que se admite; en UTF-8, cuatro bytes por letra.
LONG, AT_ONCE = "🙂" * 4000, 5
# Lo que ocupa un número de la sala; lo demás (recibos, presencia, avisos) va aparte.
NUMBERED = ("message", "edited", "deleted")

Event = dict[str, Any]


class Positive(Pattern):
    """Un número de los que pone el servidor: un id, un seq."""

    description = "un número"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0


NUMBER = Positive()


class Number(Pattern):
    """Ese número, lo escriba Python como entero o con decimales."""

    def __init__(self, value: float) -> None:
        self.value, self.description = value, f"{value:g}"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and value == self.value


@dataclass
class Person:
    """Alguien con sesión abierta."""

    name: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def request(self, app: App, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """El JSON de la respuesta; nada si no lo trae."""
        answer = await app.request(method, path, status=status, client=self.name, headers=self.headers, **options)
        return answer.json() if answer.content else None

    async def create_room(self, app: App, *members: "Person", private: bool = False) -> int:
        """Una sala nueva, con esa gente dentro."""
        room = await self.request(app, "POST", "/api/rooms", 201, json={"name": "sala", "private": private})
        for member in members:
            body = {"username": member.name}
            await self.request(app, "POST", f"/api/rooms/{room['id']}/members", 204, json=body)
        return int(room["id"])

    async def history(self, app: App, room: int) -> list[Event]:
        """Lo que hay guardado en la sala, en orden."""
        page = await self.request(app, "GET", f"/api/rooms/{room}/messages?limit=200")
        messages: list[Event] = page["messages"]
        return messages

    @contextlib.asynccontextmanager
    async def connect(self, app: App, *rooms: int, buffer: int | None = None) -> AsyncIterator["Client"]:
        """Un WebSocket con ese proceso, ya dentro de esas salas."""
        path = f"/ws?ticket={await self._ticket(app)}"
        async with app.websocket(path, name=f"{self.name} en {app.name}", buffer=buffer) as socket:
            client = Client(socket)
            for room in rooms:
                await client.join(room)
            yield client

    @contextlib.asynccontextmanager
    async def stream(self, app: App, path: str, **options: Any) -> AsyncIterator[SseClient]:
        """Un flujo SSE con ese proceso, ya abierto."""
        name = f"flujo de {self.name} en {app.name}"
        async with app.sse(path, name=name, headers=self.headers, **options) as stream:
            expect(stream.response.status_code, 200, f"el código de GET {path}")
            await stream.block(expecting="el primer bloque del flujo")
            yield stream

    async def _ticket(self, app: App) -> str:
        return str((await self.request(app, "POST", "/api/tickets", 201))["ticket"])


async def sign_up(app: App, name: str) -> Person:
    """Una cuenta nueva, con la sesión abierta."""
    account, options = {"username": name, "password": PASSWORD}, {"client": name, "within": HASHING_SECONDS}
    await app.post("/api/users", json={**account, "email": f"{name}@example.org"}, status=201, **options)
    answer = await app.post("/api/login", json=account, status=200, **options)
    return Person(name, answer.json()["access_token"])


@dataclass
class Client:
    """Un WebSocket de Plaza. Lo que llega y nadie ha pedido todavía se guarda, en orden."""

    socket: WebSocketClient
    frames: int = 0
    _kept: list[Event] = field(default_factory=list)

    async def order(self, kind: str, **fields: Any) -> None:
        await self.socket.send_json({"type": kind, **fields})

    async def join(self, room: int, position: Event | None = None) -> Event:
        """Entra en la sala; devuelve el `joined`."""
        place = {} if position is None else {"position": position}
        await self.order("join", room=room, **place)
        return await self.take("joined", {"room": room, "epoch": Matching(), "member_count": NUMBER})

    async def say(self, room: int, text: str, client_id: str, **expected: Any) -> Event:
        """Dice algo y espera su recibo."""
        await self.order("send", room=room, text=text, client_id=client_id)
        return await self.take("ack", {"client_id": client_id, "room": room, "seq": NUMBER, **expected})

    async def refused(self, code: str, **expected: Any) -> Event:
        """El siguiente `error`, que ha de ser ese."""
        return await self.take("error", {"code": code, **expected})

    async def take(self, kind: str, expected: Event | None = None, within: float = DEADLINE) -> Event:
        """Lo siguiente de ese tipo, que ha de cumplir `expected`.

        Raises:
            Mismatch: no llega a tiempo, no lo cumple, o lo que llega es un `error`.
        """
        wanted = {"type": kind, **(expected or {})}
        event = await self._next((kind, "error"), within, show(wanted))
        if found := difference(wanted, event):
            raise Mismatch(show(wanted), f"{show(event)} (se esperaba {found})")
        return event

    async def answer(self) -> Event:
        """Lo que le contestan a lo que ha dicho: un recibo o un error."""
        return await self._next(("ack", "error"), ANSWER_SECONDS, "un recibo o un error")

    async def numbered(self, count: int, within: float = DEADLINE) -> list[Event]:
        """Los `count` siguientes de los que ocupan un número de la sala."""
        found: list[Event] = []
        while len(found) < count:
            expecting = f"{count} sucesos de la sala (van {len(found)})"
            found.append(await self._next(NUMBERED, within, expecting))
        return found

    async def hears(self, expected: Sequence[Event], within: float = DEADLINE) -> None:
        """Los siguientes sucesos de la sala son justo esos, en ese orden."""
        received = await self.numbered(len(expected), within)
        expect(received, list(expected), f"lo que oye {self.socket.name}")

    async def hears_nothing(self, when: str) -> None:
        """Tras una vuelta de `ping`, no le ha llegado nada de ninguna sala, ni recibo alguno."""
        await self.order("ping")
        await self._next(("pong",), DEADLINE, "un pong")
        self._expect_nothing(when)

    async def stays_silent(self, when: str) -> None:
        """Lo mismo cuando no puede contestar a un `ping`, porque sigue con la orden anterior."""
        with contextlib.suppress(Mismatch):
            while True:
                await self._read_frame(SILENCE_SECONDS, "nada")
        self._expect_nothing(when)

    async def drain(self) -> None:
        """Lee lo que quede, hasta que la conexión se cierre o no llegue nada más."""
        with contextlib.suppress(Mismatch):
            while True:
                await self._read_frame(DEADLINE, "nada")

    def _expect_nothing(self, when: str) -> None:
        found = [event for event in self._kept if event["type"] in (*NUMBERED, "ack")]
        expect(found, [], f"lo que le llega a {self.socket.name} {when}")

    async def _next(self, kinds: Sequence[str], within: float, expecting: str) -> Event:
        while True:
            for index, event in enumerate(self._kept):
                if event["type"] in kinds:
                    return self._kept.pop(index)
            await self._read_frame(within, expecting)

    async def _read_frame(self, within: float, expecting: str) -> None:
        frame = await self.socket.receive(within, expecting=expecting)
        self.frames += 1
        for line in str(frame).split("\n"):
            if line:
                self._kept.append(_event_of(line))


def _event_of(line: str) -> Event:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise Mismatch("un objeto JSON con «type» en cada línea de la trama", line)
    return event


def some_text(rng: Random) -> str:
    return f"hola {rng.randrange(10**6)} ñ€"


def some_id(rng: Random) -> str:
    """Un `client_id` que nadie ha usado."""
    return f"c{rng.getrandbits(64):016x}"


def message(author: Person, room: int, seq: int, text: str, **more: Any) -> Event:
    """Un mensaje recién dicho, tal como llega a cada cual."""
    plain = {"edited_at": None, "deleted": False, "sent_at": Matching()}
    return {
        "type": "message",
        "id": NUMBER,
        "room": room,
        "seq": seq,
        "user": author.name,
        "text": text,
        **plain,
        **more,
    }


@contextlib.asynccontextmanager
async def everyone(room: int, *places: tuple[Person, App]) -> AsyncIterator[list[Client]]:
    """Cada persona, en la sala, desde su proceso."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(person.connect(app, room)) for person, app in places]


async def flood(talker: Client, room: int, rng: Random, count: int) -> None:
    """Dice `count` mensajes largos, de unos pocos en unos pocos, y espera sus recibos."""
    for _ in range(count // AT_ONCE):
        for _ in range(AT_ONCE):
            await talker.order("send", room=room, text=LONG, client_id=some_id(rng))
        for _ in range(AT_ONCE):
            await talker.take("ack")


async def run_sql(database: Postgres, statement: str) -> None:
    """Lo que el control cambia por su cuenta en la base de datos."""
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
