"""Paso 4: la bandeja de salida.

Di: «El cambio y su noticia, en la misma transacción: o están los dos, o ninguno. La noticia espera en una tabla, y un
cartero la lleva a Redis. Si muere entre publicar y borrar, la llevará otra vez. Y solo uno en todo el sistema.»
Enseña: marca «un fallo tras el COMMIT» y cambia con «bandeja»: 500 otra vez, pero la noticia llega. Con «correcto», no.
Minutos: 8
Arranca: uvicorn paso_4:app --reload
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
from redis.exceptions import RedisError
from sqlalchemy import func, make_url, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sse_starlette import EventSourceResponse

from taller.services import postgres, smtp, valkey

MAIL_SECONDS = 0.5

CHANNEL = STREAM = "news"
KEPT = 1000
CACHE_MS = 60_000
BATCH = 100
RELAY_SECONDS = 0.05
RELAY_LOCK = 62

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


class OutboxRow(Base):
    """Una noticia confirmada que aún no se ha publicado."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    news: Mapped[str]


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
    async def change(self, order_id: int, status: str, *, with_outbox: bool = False) -> Order:
        """El cambio, confirmado en PostgreSQL; con `with_outbox`, su noticia va en la misma transacción."""
        statement = (
            update(OrderRow)
            .where(OrderRow.id == order_id)
            .values(status=status, version=OrderRow.version + 1)
            .returning(OrderRow)
        )
        async with self.sessions.begin() as session:
            order = Order.model_validate((await session.scalars(statement)).one())
            if with_outbox:
                news = News(id=order.id, version=order.version)
                session.add(OutboxRow(news=news.model_dump_json()))
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

    # region cartero
    async def publish_pending(self) -> int:
        """Publica lo que haya en la bandeja, por orden, y lo borra; devuelve cuántas noticias eran."""
        async with self.sessions.begin() as session:
            if not await session.scalar(select(func.pg_try_advisory_xact_lock(RELAY_LOCK))):
                return 0
            rows = (await session.scalars(select(OutboxRow).order_by(OutboxRow.id).limit(BATCH))).all()
            for row in rows:
                await self.publish(News.model_validate_json(row.news))
                await session.delete(row)
            return len(rows)

    # endregion

    # region vaciar
    async def relay(self) -> None:
        """Vacía la bandeja mientras viva el proceso, falle lo que falle."""
        while True:
            try:
                moved = await self.publish_pending()
            except (RedisError, SQLAlchemyError, OSError) as error:
                logger.warning("La bandeja espera: %s", error)
                moved = 0
            if not moved:
                await asyncio.sleep(RELAY_SECONDS)

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
            shop = app.state.shop = Shop(sessions, redis, mailbox.url, trace)
            tasks = [asyncio.create_task(listen(pubsub, app.state.hub)), asyncio.create_task(shop.relay())]
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


Kind = Literal["naive", "right", "outbox"]


@app.put("/{kind}/orders/{order_id}")
async def change(kind: Kind, order_id: int, status: str, background: BackgroundTasks, accident: bool = False) -> Order:
    shop: Shop = app.state.shop
    if accident:
        unlucky.add(order_id)
    order = await shop.change(order_id, status, with_outbox=kind == "outbox")
    if kind == "naive":
        shop.follow_the_notes(order, background)
    elif kind == "right":
        await shop.tell(order, background)
    else:
        await shop.keep(order)
        background.add_task(shop.send_mail, order)
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
