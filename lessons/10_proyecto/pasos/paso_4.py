"""Paso 4: volver. Quien dice por dónde iba recibe lo que se perdió, en orden y una vez.

Di: «El cliente guarda el número de lo último que vio, y al volver lo dice. Fijaos en el orden: primero me apunto hasta
dónde ha repartido este proceso, después pongo su bandeja a recoger, y luego leo lo que le falta hasta ahí. Lo que pase
mientras leo espera en la bandeja. Al revés, habría un hueco o un repetido. Y si falta demasiado, digo la verdad:
recovered false, recarga.»
Enseña: corta en una pestaña, di veinte cosas en la otra y vuelve. Mata el proceso con `kill -9` y arráncalo: la página
vuelve sola y no falta nada.
Minutos: 7
Arranca: uvicorn paso_4:app --port 8001
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from taller.services import postgres, valkey

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS room (last_seq bigint NOT NULL)",
    "INSERT INTO room SELECT 0 WHERE NOT EXISTS (SELECT FROM room)",
    "CREATE TABLE IF NOT EXISTS said (seq bigint PRIMARY KEY, client_id text UNIQUE, name text, text text)",
)
LOCK = "SELECT last_seq FROM room FOR UPDATE"
KNOWN = "SELECT seq FROM said WHERE client_id = :client_id"
KEEP = "INSERT INTO said VALUES (:seq, :client_id, :name, :text)"
ADVANCE = "UPDATE room SET last_seq = :seq"
AFTER = "SELECT seq, name, text FROM said WHERE seq > :seq ORDER BY seq"
CHANNEL = "plaza"
HISTORY = 1000
AGAIN_SECONDS, POLL_SECONDS, CLOSE_SECONDS = 0.2, 1.0, 2.0

Event = dict[str, Any]
Outbox = asyncio.Queue[str]


class Journal:
    """Lo dicho, numerado sin huecos."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def create_tables(self) -> None:
        async with self.engine.begin() as connection:
            # Por turno: dos procesos que crean la misma tabla a la vez se estorban, aunque digan IF NOT EXISTS.
            await connection.execute(text("SELECT pg_advisory_xact_lock(10)"))
            for statement in SCHEMA:
                await connection.execute(text(statement))

    async def head(self) -> int:
        async with self.engine.connect() as connection:
            return int((await connection.execute(text("SELECT last_seq FROM room"))).scalar_one())

    # region guardar
    async def keep(self, name: str, said: dict[str, str]) -> tuple[int, bool]:
        """El número del mensaje, y si es nuevo. El candado de la sala da el turno, hasta el COMMIT."""
        async with self.engine.begin() as connection:
            last = (await connection.execute(text(LOCK))).scalar_one()
            known = (await connection.execute(text(KNOWN), {"client_id": said["client_id"]})).scalar()
            if known is not None:
                return known, False
            values = {"seq": last + 1, "name": name, "client_id": said["client_id"], "text": said["text"]}
            await connection.execute(text(KEEP), values)
            await connection.execute(text(ADVANCE), {"seq": last + 1})
        return last + 1, True

    # endregion

    async def after(self, seq: int) -> list[Event]:
        async with self.engine.connect() as connection:
            rows = (await connection.execute(text(AFTER), {"seq": seq})).all()
        return [{"type": "message", "seq": row.seq, "user": row.name, "text": row.text} for row in rows]


# region orden
class Feed:
    """Reparte en orden, sin huecos: el que llega antes que los suyos, espera."""

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.early: dict[int, Event] = {}
        self.outboxes: set[Outbox] = set()

    def take(self, event: Event) -> None:
        if event["seq"] <= self.seen:
            return
        self.early[event["seq"]] = event
        while (ready := self.early.pop(self.seen + 1, None)) is not None:
            self.seen += 1
            self.fan_out(ready)

    def fan_out(self, event: Event) -> None:
        line = json.dumps(event)
        for outbox in self.outboxes:
            outbox.put_nowait(line)


# endregion


# region avisar
async def announce(redis: Redis, event: Event) -> None:
    """Cuenta algo a todos los procesos. Si no se puede, ya lo leerán."""
    with suppress(RedisError, OSError):
        await redis.publish(CHANNEL, json.dumps(event))


async def listen(redis: Redis, feed: Feed) -> None:
    """Lo que cuentan los procesos. Si Redis se va, se le vuelve a buscar."""
    while True:
        with suppress(RedisError, OSError):
            async with redis.pubsub() as pubsub:
                await pubsub.subscribe(CHANNEL)
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        feed.take(json.loads(message["data"]))
        await asyncio.sleep(AGAIN_SECONDS)


async def catch_up(journal: Journal, feed: Feed) -> None:
    """Lo que nadie contó está en la base."""
    while True:
        with suppress(SQLAlchemyError, OSError):
            for event in await journal.after(feed.seen):
                feed.take(event)
        await asyncio.sleep(POLL_SECONDS)


# endregion


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with (
        postgres() as database,
        valkey() as server,
        server.client(retry=Retry(NoBackoff(), 0), socket_timeout=None) as redis,
    ):
        engine = create_async_engine(make_url(database.url).set(drivername="postgresql+asyncpg"), pool_pre_ping=True)
        app.state.redis, app.state.journal = redis, Journal(engine)
        await app.state.journal.create_tables()
        app.state.feed = Feed(await app.state.journal.head())
        jobs = listen(redis, app.state.feed), catch_up(app.state.journal, app.state.feed)
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


async def write(websocket: WebSocket, outbox: Outbox) -> None:
    while True:
        await websocket.send_text(await outbox.get())


# region volver
async def welcome(websocket: WebSocket, outbox: Outbox, position: int | None) -> None:
    """Le cuenta lo que se perdió, si se puede. Lo que pase mientras tanto espera en su bandeja, que aún no se vacía."""
    journal: Journal = app.state.journal
    feed: Feed = app.state.feed
    head = feed.seen
    feed.outboxes.add(outbox)
    recovered = None if position is None else 0 <= head - position <= HISTORY
    await websocket.send_json({"type": "joined", "seq": head, "recovered": recovered})
    if position is not None and recovered:
        for event in await journal.after(position):
            if event["seq"] <= head:
                await websocket.send_json(event)


# endregion


@app.websocket("/ws")
async def chat(websocket: WebSocket, name: str, after: int | None = None) -> None:
    await websocket.accept()
    outbox: Outbox = asyncio.Queue()
    try:
        with suppress(WebSocketDisconnect):
            await welcome(websocket, outbox, after)
            await converse(websocket, name, outbox)
    finally:
        app.state.feed.outboxes.discard(outbox)


async def converse(websocket: WebSocket, name: str, outbox: Outbox) -> None:
    journal: Journal = app.state.journal
    writer = asyncio.create_task(write(websocket, outbox))
    try:
        while True:
            said = await websocket.receive_json()
            seq, new = await journal.keep(name, said)
            outbox.put_nowait(json.dumps({"type": "ack", "seq": seq, "client_id": said["client_id"]}))
            if new:
                event = {"type": "message", "seq": seq, "user": name, "text": said["text"]}
                await announce(app.state.redis, event)
    finally:
        writer.cancel()
