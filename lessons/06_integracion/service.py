"""Un proceso de la tienda: las rutas, quienes escuchan en él y el diario de cada viaje.

La mini-app levanta dos, A y B, con los mismos PostgreSQL, Redis y correo. Para probarlo suelto:
`python3 curso.py servicios` en un terminal y `uvicorn service:app` en otro.
"""

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated, Literal

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from shop import CHANNEL, News, Order, OrderRow, Shop, create_tables
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sse_starlette import EventSourceResponse, ServerSentEvent

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://taller@127.0.0.1:5432/taller")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SMTP_URL = os.environ.get("SMTP_URL", "smtp://127.0.0.1:1025")

# region conectar
# SQLAlchemy lee en la URL con qué biblioteca se habla con PostgreSQL.
ENGINE_URL = make_url(DATABASE_URL).set(drivername="postgresql+asyncpg")
# endregion

Kind = Literal["naive", "right", "outbox", "local"]


class Hub:
    """Quienes escuchan en este proceso, con una cola cada uno."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[News]] = set()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[News]]:
        queue: asyncio.Queue[News] = asyncio.Queue()
        self.queues.add(queue)
        try:
            yield queue
        finally:
            self.queues.discard(queue)

    def deliver(self, news: News) -> None:
        for queue in self.queues:
            queue.put_nowait(news)


class Journal:
    """A qué hora dio cada pedido cada paso en este proceso; y en cuál hay que morir, si hay que morir en alguno."""

    def __init__(self) -> None:
        self.steps: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self.doomed: dict[int, str] = {}

    def note(self, order_id: int, step: str) -> None:
        self.steps[order_id][step] = time.time()
        if self.doomed.get(order_id) == step:
            os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(ENGINE_URL)
    await create_tables(engine)
    app.state.hub, app.state.journal = Hub(), Journal()
    redis = Redis.from_url(REDIS_URL, retry=Retry(ExponentialBackoff(), 8))
    async with redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        shop = app.state.shop = Shop(sessions, redis, SMTP_URL, app.state.journal.note)
        tasks = [asyncio.create_task(listen(pubsub, app.state.hub)), asyncio.create_task(shop.relay())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await engine.dispose()


async def listen(pubsub: PubSub, hub: Hub) -> None:
    async for message in pubsub.listen():
        if message["type"] == "message":
            hub.deliver(News.model_validate_json(message["data"]))


app = FastAPI(title="La tienda", lifespan=lifespan)


def get_shop(connection: HTTPConnection) -> Shop:
    shop: Shop = connection.app.state.shop
    return shop


def get_hub(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.hub
    return hub


def get_journal(connection: HTTPConnection) -> Journal:
    journal: Journal = connection.app.state.journal
    return journal


ShopDep = Annotated[Shop, Depends(get_shop)]
HubDep = Annotated[Hub, Depends(get_hub)]
JournalDep = Annotated[Journal, Depends(get_journal)]


class NewOrder(BaseModel):
    item: str = "té verde"


class Change(BaseModel):
    """El cambio y, para los experimentos, el paso tras el que este proceso se mata."""

    status: str
    die_after: Literal["database"] | None = None


@app.post("/orders", status_code=201)
async def create(new: NewOrder, shop: ShopDep) -> Order:
    return await shop.create(new.item)


@app.put("/{kind}/orders/{order_id}")
async def change(
    kind: Kind,
    order_id: int,
    wanted: Change,
    shop: ShopDep,
    hub: HubDep,
    journal: JournalDep,
    background: BackgroundTasks,
) -> Order:
    if wanted.die_after:
        journal.doomed[order_id] = wanted.die_after
    order = await shop.change(order_id, wanted.status, with_outbox=kind == "outbox")
    match kind:
        case "naive":
            shop.follow_the_notes(order, background)
        case "right":
            await shop.tell(order, background)
        case "outbox":
            await shop.keep(order)
            background.add_task(shop.send_mail, order)
        case "local":
            hub.deliver(News(id=order.id, version=order.version))
    return order


@app.get("/orders/{order_id}")
async def read(order_id: int, shop: ShopDep) -> Order:
    order = await shop.read(order_id)
    if order is None:
        raise HTTPException(404, "ese pedido no existe")
    return order


@app.get("/stored/{order_id}")
async def stored(order_id: int, shop: ShopDep) -> Order:
    """El pedido según PostgreSQL, sin caché: para ver si lo que se lee es lo que hay."""
    async with shop.sessions() as session:
        return Order.model_validate(await session.get_one(OrderRow, order_id))


@app.get("/journal/{order_id}")
async def journal_of(order_id: int, journal: JournalDep) -> dict[str, float]:
    """A qué hora (segundos desde 1970) dio el pedido cada paso en este proceso."""
    return journal.steps[order_id]


@app.get("/events")
async def events(hub: HubDep) -> EventSourceResponse:
    return EventSourceResponse(event_stream(hub))


async def event_stream(hub: Hub) -> AsyncIterator[ServerSentEvent]:
    with hub.listening() as queue:
        yield ServerSentEvent(event="ready", data="{}")
        while True:
            yield ServerSentEvent(event="order", data=(await queue.get()).model_dump_json())


@app.websocket("/ws")
async def live(websocket: WebSocket, hub: HubDep) -> None:
    await websocket.accept()
    with hub.listening() as queue:
        sender = asyncio.create_task(deliver(websocket, queue))
        try:
            with suppress(WebSocketDisconnect):
                while True:
                    await websocket.receive_text()
        finally:
            sender.cancel()


async def deliver(websocket: WebSocket, queue: asyncio.Queue[News]) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready"})
        while True:
            await websocket.send_text((await queue.get()).model_dump_json())
