"""Paso 5: despedirse. SIGTERM no es un corte: es un aviso, y hay tiempo de decir adiós.

Di: «Ante SIGTERM, uvicorn cierra los WebSockets enseguida, y el final del lifespan llega después: para despedirse hay
que enterarse antes. Pongo mi manejador delante del suyo: me declaro no disponible, dejo en cada bandeja un goodbye con
un plazo al azar, espero a que salgan y llamo al de uvicorn, que cierra con 1012. Al azar, para que no vuelvan todos en
el mismo milisegundo al proceso que queda.»
Enseña: abre varias pestañas y manda SIGTERM: cada una recibe un plazo distinto, y 1012. Mira `/health/ready` antes.
Minutos: 8
Arranca: uvicorn paso_5:app --port 8001
"""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
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
RETURN_MS = (200, 3000)
FAREWELL_SECONDS = 1.0
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


# region despedida
async def farewell(feed: Feed) -> None:
    """Un adiós en cada bandeja, con un plazo al azar; acaba cuando han salido, o enseguida."""
    for outbox in feed.outboxes:
        outbox.put_nowait(json.dumps({"type": "goodbye", "retry_after_ms": random.randint(*RETURN_MS)}))
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            await asyncio.gather(*(outbox.join() for outbox in feed.outboxes))


@contextmanager
def saying_goodbye(feed: Feed, closing: asyncio.Event) -> Iterator[None]:
    """Mientras dura, SIGTERM es primero la despedida y después lo que iba a hacer uvicorn."""
    loop, original = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    tasks: set[asyncio.Task[None]] = set()

    async def leave() -> None:
        closing.set()
        await farewell(feed)
        if callable(original):
            original(signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, lambda: tasks.add(asyncio.create_task(leave())))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, original)


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
        app.state.closing = asyncio.Event()
        try:
            with saying_goodbye(app.state.feed, app.state.closing):
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


@app.get("/health/ready")
async def ready(response: Response) -> dict[str, bool]:
    """Si conviene mandarle gente."""
    closing = app.state.closing.is_set()
    response.status_code = 503 if closing else 200
    return {"ready": not closing}


async def write(websocket: WebSocket, outbox: Outbox) -> None:
    while True:
        await websocket.send_text(await outbox.get())
        outbox.task_done()


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
