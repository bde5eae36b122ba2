"""Paso 1: un pedido en PostgreSQL.

Di: «Empiezo por lo que manda: la base de datos. El cambio es un UPDATE que suma uno a la versión y devuelve la fila, en
una transacción: al salir del bloque `begin()`, COMMIT. Que sume PostgreSQL y no yo: así, de dos cambios a la vez no se
pierde ninguno. Leer es preguntarle a ella, siempre.»
Enseña: crea un pedido, cámbialo y léelo. «Lo que se lee» y «lo que hay» coinciden: no hay nada más en medio.
Minutos: 12
Arranca: uvicorn paso_1:app --reload
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import make_url, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from taller.services import postgres

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


class Shop:
    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

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
        async with self.sessions() as session:
            row = await session.get(OrderRow, order_id)
        return None if row is None else Order.model_validate(row)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with postgres() as database:
        engine = create_async_engine(make_url(database.url).set(drivername="postgresql+asyncpg"))
        await create_tables(engine)
        app.state.shop = Shop(async_sessionmaker(engine, expire_on_commit=False))
        yield
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


@app.put("/plain/orders/{order_id}")
async def change(order_id: int, status: str) -> Order:
    return await app.state.shop.change(order_id, status)
