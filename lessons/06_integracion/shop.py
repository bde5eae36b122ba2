"""La tienda: un pedido, y todo lo que pasa cuando cambia. Es lo de `pasos/paso_4.py`."""

import asyncio
import logging
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
from fastapi import BackgroundTasks
from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
