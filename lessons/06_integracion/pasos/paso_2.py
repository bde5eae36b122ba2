"""Paso 2: las demás piezas, en el orden de los apuntes.

Di: «Añado la caché, la noticia por Pub/Sub, el WebSocket, el flujo SSE y el correo. Sigo la lista: base de datos, tarea
de fondo con el correo, Pub/Sub, WebSocket, SSE. Y la caché, que optimiza las próximas consultas.»
Enseña: crea un pedido y cámbialo con «apuntes». La noticia llega medio segundo tarde, porque espera al correo; y quien
la recibe vuelve a leer y lee lo de antes. Vuelve a leer: sigue igual, y seguirá un minuto. Nada ha fallado.
Minutos: 12
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
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


class Shop:
    def __init__(self, sessions: Sessions, redis: Redis, smtp_url: str) -> None:
        self.sessions, self.redis = sessions, redis
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
            return Order.model_validate((await session.scalars(statement)).one())

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

    # region guardar-sin-mirar
    async def keep(self, order: Order) -> None:
        """En la caché."""
        await self.redis.hset(f"order:{order.id}", mapping={"order": order.model_dump_json()})
        await self.redis.pexpire(f"order:{order.id}", CACHE_MS)

    # endregion

    # region publicar
    async def publish(self, news: News) -> None:
        """Al stream, que lo guarda, y por el canal, que avisa a todos los procesos."""
        body = news.model_dump_json()
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

    # region orden-apuntes
    def follow_the_notes(self, order: Order, background: BackgroundTasks) -> None:
        """Los pasos 3 a 6, como en la lista. El 7, la caché, se encarga de las próximas consultas."""
        background.add_task(self.send_mail, order)
        background.add_task(self.publish, News(id=order.id, version=order.version))

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
            app.state.shop = Shop(sessions, redis, mailbox.url)
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


Kind = Literal["naive"]


@app.put("/{kind}/orders/{order_id}")
async def change(kind: Kind, order_id: int, status: str, background: BackgroundTasks) -> Order:
    shop: Shop = app.state.shop
    order = await shop.change(order_id, status)
    shop.follow_the_notes(order, background)
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
