"""6.2 Bandeja de salida

Un cambio y su suceso viven en dos sitios, PostgreSQL y Redis, y ninguna orden escribe en los dos a la vez. Entre una y
otra el proceso puede morir. Si se publica antes de confirmar, habrá sucesos de cambios que no existen; si se publica
después, cambios de los que nadie se entera. La salida es escribir el suceso **en la misma transacción que el cambio**,
en una tabla que hace de bandeja de salida, y que otra tarea lo lleve de ahí a Redis las veces que haga falta.

**`PUT /orders/{id}`** con `{"item": "té", "status": "paid"}` crea el pedido, con versión 1, o lo cambia y le suma uno a
la versión: 200 `{"id": "a1", "item": "té", "status": "paid", "version": 1}`. El id lo pone el cliente. No necesita
Redis: contesta igual aunque no esté.

**`GET /orders/{id}`** contesta el pedido, según PostgreSQL; 404 si no existe.

**El stream `orders`** de Redis recibe una entrada por cada cambio, con un campo `event`:
`{"id": "a1", "version": 1, "status": "paid"}` en JSON. Se promete, con uno o con varios procesos y los maten cuando los
maten (`kill -9`):

- **ningún suceso sin su fila**: lo que no se ha confirmado en PostgreSQL no se publica;
- **ninguna fila sin su suceso**: lo confirmado se publica, quizá más tarde y quizá por otro proceso;
- los de un mismo pedido, **por orden de versión**;
- uno por cambio. Solo si muere un proceso puede repetirse alguno (quien lo lee distingue la repetición por el id y la
  versión);
- si Redis no está, se publica cuando vuelve.

Hay otras maneras de vaciar la bandeja que mirarla cada `RELAY_SECONDS`; esta basta.

Variables de entorno: `DATABASE_URL` (postgresql://taller@127.0.0.1:5432/taller), `REDIS_URL` (redis://127.0.0.1:6379) y
`RELAY_SECONDS` (0.2): cada cuánto se mira la bandeja cuando está vacía o algo ha fallado.

Ejemplo:

    PUT /orders/a1 {"item": "té", "status": "paid"}       200 {"id": "a1", "item": "té", "status": "paid", "version": 1}
    PUT /orders/a1 {"item": "té", "status": "shipped"}    200 {"id": "a1", …, "status": "shipped", "version": 2}
    XRANGE orders - +      1690-0 event {"id": "a1", "version": 1, "status": "paid"}
                           1691-0 event {"id": "a1", "version": 2, "status": "shipped"}
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy import func, make_url, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://taller@127.0.0.1:5432/taller")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
RELAY_SECONDS = float(os.environ.get("RELAY_SECONDS", "0.2"))

# SQLAlchemy lee en la URL con qué biblioteca se habla con PostgreSQL.
ENGINE_URL = make_url(DATABASE_URL).set(drivername="postgresql+asyncpg")

STREAM = "orders"
KEPT = 10_000  # cuántos sucesos recuerda el stream
BATCH = 100
TABLES_LOCK, RELAY_LOCK = 6, 62  # números cualesquiera: nombran lo que se cierra

logger = logging.getLogger("uvicorn.error")
Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


class OrderRow(Base):
    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str]
    status: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)


class OutboxRow(Base):
    """Un suceso confirmado que aún no se ha publicado."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]


class Change(BaseModel):
    item: Annotated[str, Field(min_length=1, max_length=100)]
    status: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]


class Order(Change):
    model_config = ConfigDict(from_attributes=True)

    id: str
    version: int


class OrderEvent(BaseModel):
    """Lo que cuenta el stream de un cambio."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    version: int
    status: str


async def upsert(session: AsyncSession, order_id: str, change: Change) -> OrderRow:
    """Crea el pedido o lo cambia. Su fila queda cerrada hasta el COMMIT: otro cambio del mismo pedido espera."""
    values = change.model_dump()
    statement = (
        insert(OrderRow)
        .values(id=order_id, **values)
        .on_conflict_do_update(index_elements=[OrderRow.id], set_={**values, "version": OrderRow.version + 1})
        .returning(OrderRow)
    )
    return (await session.scalars(statement)).one()


async def save(sessions: Sessions, order_id: str, change: Change) -> Order:
    """Escribe el cambio y su suceso: los dos, o ninguno."""
    # region TODO 1: En una transacción, upsert(), y después session.add(OutboxRow(event=…)) con
    #   OrderEvent.model_validate(row).model_dump_json(). ¿Por qué después?
    #: raise HTTPException(501, "Sin hacer")
    async with sessions.begin() as session:
        row = await upsert(session, order_id, change)
        session.add(OutboxRow(event=OrderEvent.model_validate(row).model_dump_json()))
    return Order.model_validate(row)
    # endregion


async def publish(redis: Redis, event: str) -> None:
    await redis.xadd(STREAM, {"event": event}, maxlen=KEPT, approximate=True)


async def publish_pending(sessions: Sessions, redis: Redis) -> int:
    """Publica lo que haya en la bandeja, por orden, y lo borra de ella; devuelve cuántos eran."""
    # region TODO 2: En una transacción: lee los primeros BATCH por orden de id, publícalos **uno detrás de otro** y
    #   bórralos (session.delete). El COMMIT del borrado va después de publicar: ¿y si el proceso muere entre los dos?
    #   Que no lo hagan dos procesos a la vez: antes de leer, session.scalar(select(func.pg_try_advisory_xact_lock(
    #   RELAY_LOCK))); si da False, lo está haciendo otro.
    #: return 0
    async with sessions.begin() as session:
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(RELAY_LOCK))):
            return 0
        rows = (await session.scalars(select(OutboxRow).order_by(OutboxRow.id).limit(BATCH))).all()
        for row in rows:
            await publish(redis, row.event)
            await session.delete(row)
        return len(rows)
    # endregion


async def relay(sessions: Sessions, redis: Redis) -> None:
    """Vacía la bandeja mientras viva el proceso."""
    while True:
        # region TODO 3: Llama a publish_pending(). Si falla (RedisError, SQLAlchemyError, OSError), dilo en el registro
        #   y sigue: esta tarea no puede morir. Si no había nada, espera RELAY_SECONDS.
        #: await asyncio.sleep(RELAY_SECONDS)
        try:
            moved = await publish_pending(sessions, redis)
        except (RedisError, SQLAlchemyError, OSError) as error:
            logger.warning("La bandeja espera: %s", error)
            moved = 0
        if not moved:
            await asyncio.sleep(RELAY_SECONDS)
        # endregion


async def create_tables(engine: AsyncEngine) -> None:
    """Las crea si no están. Los procesos que arrancan a la vez lo hacen por turno: CREATE TABLE no lo hace solo."""
    async with engine.begin() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({TABLES_LOCK})"))
        await connection.run_sync(Base.metadata.create_all)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(ENGINE_URL)
    await create_tables(engine)
    sessions = app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with Redis.from_url(REDIS_URL, retry=Retry(NoBackoff(), 0)) as redis:
        relaying = asyncio.create_task(relay(sessions, redis))
        yield
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying
    await engine.dispose()


app = FastAPI(title="Bandeja de salida", lifespan=lifespan)


def get_sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


SessionsDep = Annotated[Sessions, Depends(get_sessions)]


@app.put("/orders/{order_id}")
async def put_order(order_id: str, change: Change, sessions: SessionsDep) -> Order:
    return await save(sessions, order_id, change)


@app.get("/orders/{order_id}")
async def read_order(order_id: str, sessions: SessionsDep) -> Order:
    async with sessions() as session:
        row = await session.get(OrderRow, order_id)
    if row is None:
        raise HTTPException(404, "No existe")
    return Order.model_validate(row)
