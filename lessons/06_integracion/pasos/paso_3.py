"""Paso 3: las mismas piezas, en un orden que no engaña.

Di: «Cuando sale la noticia, alguien va a leer en ese instante. Así que antes de publicar, la caché tiene que ser ya la
nueva; y antes que la caché, el COMMIT. El correo no lo espera nadie: al final. Y para que una lectura lenta no vuelva a
dejar lo viejo, la caché compara versiones antes de guardar.»
Enseña: con «correcto», la noticia llega en milésimas y la relectura trae lo nuevo. Marca «un fallo tras el COMMIT» y
cambia otra vez: 500, el cambio está en PostgreSQL, y la noticia no llega nunca. Ningún orden arregla eso.
Minutos: 8
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiosmtplib
from fastapi import BackgroundTasks, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from sqlalchemy import make_url, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sse_starlette import EventSourceResponse

from taller.services import postgres, smtp, valkey

MAIL_SECONDS = 0.5

CHANNEL = STREAM = "news"
KEPT = 1000
CACHE_MS = 60_000

logger = logging.getLogger("uvicorn.error")
Sessions = async_sessionmaker[AsyncSession]
Trace = Callable[[int, str], None]  # a quien se cuenta cada paso que da un pedido


class Base(DeclarativeBase):
    pass


class OrderRow(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    status: Mapped[str] = mapped_column(default="received")
    version: Mapped[int] = mapped_column(default=1)


async def create_tables(engine: AsyncEngine) -> None:
    """Por turno: dos procesos que crean la misma tabla a la vez se estorban, aunque digan IF NOT EXISTS."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(6)"))
        await connection.run_sync(Base.metadata.create_all)


class Order(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    item: str
    status: str
    version: int


class News(BaseModel):
    """Que un pedido tiene una versión nueva; cuál, se lee."""

    id: int
    version: int


# region guardar-si-es-mas-nueva
STORE_IF_NEWER = """
local held = redis.call('HGET', KEYS[1], 'version')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'order', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
# endregion


class Shop:
    def __init__(self, sessions: Sessions, redis: Redis, smtp_url: str, trace: Trace) -> None:
        self.sessions, self.redis, self.trace = sessions, redis, trace
        self.smtp = urlsplit(smtp_url)

    async def create(self, item: str) -> Order:
        row = OrderRow(item=item)
        async with self.sessions.begin() as session:
            session.add(row)
        return Order.model_validate(row)

    # region cambiar
    async def change(self, order_id: int, status: str) -> Order:
        """El cambio, confirmado en PostgreSQL."""
        statement = (
            update(OrderRow)
            .where(OrderRow.id == order_id)
            .values(status=status, version=OrderRow.version + 1)
            .returning(OrderRow)
        )
        async with self.sessions.begin() as session:
            order = Order.model_validate((await session.scalars(statement)).one())
        self.trace(order.id, "database")
        return order

    # endregion

    async def read(self, order_id: int) -> Order | None:
        raw: Any = await self.redis.hget(f"order:{order_id}", "order")
        if raw is not None:
            return Order.model_validate_json(raw)
        async with self.sessions() as session:
            row = await session.get(OrderRow, order_id)
        if row is None:
            return None
        order = Order.model_validate(row)
        await self.keep(order)
        return order

    # region guardar
    async def keep(self, order: Order) -> None:
        """En la caché, salvo que ya haya una versión igual o más reciente."""
        body = order.model_dump_json()
        await self.redis.eval(STORE_IF_NEWER, 1, f"order:{order.id}", order.version, body, CACHE_MS)
        self.trace(order.id, "cache")

    # endregion

    # region publicar
    async def publish(self, news: News) -> None:
        """Al stream, que lo guarda, y por el canal, que avisa a todos los procesos."""
        body = news.model_dump_json()
        self.trace(news.id, "publish")
        async with self.redis.pipeline(transaction=True) as both:
            both.xadd(STREAM, {"news": body}, maxlen=KEPT)
            both.publish(CHANNEL, body)
            await both.execute()

    # endregion

    async def send_mail(self, order: Order) -> None:
        message = EmailMessage()
        message["From"], message["To"] = "tienda@example.com", "ana@example.com"
        message["Subject"] = f"Pedido {order.id}: {order.status}"
        message.set_content(f"Tu {order.item} está así: {order.status}.\n")
        try:
            await aiosmtplib.send(message, hostname=self.smtp.hostname, port=self.smtp.port)
        except (aiosmtplib.SMTPException, OSError):
            logger.exception("No se pudo avisar del pedido %s", order.id)
        self.trace(order.id, "mail")

    # region orden-apuntes
    def follow_the_notes(self, order: Order, background: BackgroundTasks) -> None:
        """Los pasos 3 a 6, como en la lista. El 7, la caché, se encarga de las próximas consultas."""
        background.add_task(self.send_mail, order)
        background.add_task(self.publish, News(id=order.id, version=order.version))

    # endregion

    # region orden-correcto
    async def tell(self, order: Order, background: BackgroundTasks) -> None:
        """Cuando la noticia sale, todo lo que se puede leer es ya lo nuevo; el correo no hace esperar a nadie."""
        await self.keep(order)
        await self.publish(News(id=order.id, version=order.version))
        background.add_task(self.send_mail, order)

    # endregion


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


async def listen(pubsub: PubSub, hub: Hub) -> None:
    async for message in pubsub.listen():
        if message["type"] == "message":
            for queue in hub.queues:
                queue.put_nowait(News.model_validate_json(message["data"]))


class Accident(Exception):
    """Un fallo justo después del COMMIT, provocado desde la página."""


unlucky: set[int] = set()


def trace(order_id: int, step: str) -> None:
    print(f"pedido {order_id}: {step}")
    if step == "database" and order_id in unlucky:
        unlucky.discard(order_id)
        raise Accident


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with postgres() as database, valkey() as server, smtp() as mailbox:
        mailbox.delay(MAIL_SECONDS)
        engine = create_async_engine(make_url(database.url).set(drivername="postgresql+asyncpg"))
        await create_tables(engine)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with server.client() as redis, redis.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            app.state.hub = Hub()
            app.state.shop = Shop(sessions, redis, mailbox.url, trace)
            tasks = [asyncio.create_task(listen(pubsub, app.state.hub))]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.post("/orders", status_code=201)
async def create() -> Order:
    return await app.state.shop.create("té verde")


@app.get("/orders/{order_id}")
async def read(order_id: int) -> Order:
    order = await app.state.shop.read(order_id)
    if order is None:
        raise HTTPException(404, "ese pedido no existe")
    return order


@app.get("/stored/{order_id}")
async def stored(order_id: int) -> Order:
    """El pedido según PostgreSQL, sin caché."""
    async with app.state.shop.sessions() as session:
        return Order.model_validate(await session.get_one(OrderRow, order_id))


Kind = Literal["naive", "right"]


@app.put("/{kind}/orders/{order_id}")
async def change(kind: Kind, order_id: int, status: str, background: BackgroundTasks, accident: bool = False) -> Order:
    shop: Shop = app.state.shop
    if accident:
        unlucky.add(order_id)
    order = await shop.change(order_id, status)
    if kind == "naive":
        shop.follow_the_notes(order, background)
    else:
        await shop.tell(order, background)
    return order


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(event_stream(app.state.hub))


async def event_stream(hub: Hub) -> AsyncIterator[str]:
    with hub.listening() as queue:
        while True:
            yield (await queue.get()).model_dump_json()


@app.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    with app.state.hub.listening() as queue:
        sender = asyncio.create_task(deliver(websocket, queue))
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        sender.cancel()


async def deliver(websocket: WebSocket, queue: asyncio.Queue[News]) -> None:
    while True:
        await websocket.send_text((await queue.get()).model_dump_json())
