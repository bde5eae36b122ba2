"""Paso 2: la base de datos pone el número, y solo lo guardado tiene recibo.

Di: «Dos cosas nuevas. El número de cada mensaje lo pone PostgreSQL, en la transacción que lo guarda: el candado de la
sala da el turno, y quien viene detrás espera a mi COMMIT. Por eso no hay huecos ni repetidos. Y el recibo sale después
del COMMIT: si lo tienes, está guardado. El client_id permite repetir sin miedo: el mismo, el mismo recibo.»
Enseña: pulsa «Decir 20» en dos pestañas a la vez: los números van seguidos, en el mismo orden en las dos. Después
corta, habla en la otra y vuelve: guardado está, pero nadie te lo cuenta.
Minutos: 12
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from taller.services import postgres

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS room (last_seq bigint NOT NULL)",
    "INSERT INTO room SELECT 0 WHERE NOT EXISTS (SELECT FROM room)",
    "CREATE TABLE IF NOT EXISTS said (seq bigint PRIMARY KEY, client_id text UNIQUE, name text, text text)",
)
LOCK = "SELECT last_seq FROM room FOR UPDATE"
KNOWN = "SELECT seq FROM said WHERE client_id = :client_id"
KEEP = "INSERT INTO said VALUES (:seq, :client_id, :name, :text)"
ADVANCE = "UPDATE room SET last_seq = :seq"

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


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with postgres() as database:
        engine = create_async_engine(make_url(database.url).set(drivername="postgresql+asyncpg"))
        app.state.journal = Journal(engine)
        await app.state.journal.create_tables()
        app.state.feed = Feed(await app.state.journal.head())
        yield
        await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


async def write(websocket: WebSocket, outbox: Outbox) -> None:
    while True:
        await websocket.send_text(await outbox.get())


@app.websocket("/ws")
async def chat(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    journal: Journal = app.state.journal
    feed: Feed = app.state.feed
    outbox: Outbox = asyncio.Queue()
    feed.outboxes.add(outbox)
    writer = asyncio.create_task(write(websocket, outbox))
    try:
        with suppress(WebSocketDisconnect):
            while True:
                said = await websocket.receive_json()
                seq, new = await journal.keep(name, said)
                outbox.put_nowait(json.dumps({"type": "ack", "seq": seq, "client_id": said["client_id"]}))
                if new:
                    feed.take({"type": "message", "seq": seq, "user": name, "text": said["text"]})
    finally:
        feed.outboxes.discard(outbox)
        writer.cancel()
