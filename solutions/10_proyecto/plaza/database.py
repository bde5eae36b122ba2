"""PostgreSQL: la verdad de Plaza. SQL a la vista, con parámetros con nombre, sobre SQLAlchemy asíncrono."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

CONNECT_SECONDS = 2.0
STATEMENT_SECONDS = 5.0


class Transaction:
    """Una transacción abierta: lo que se hace en ella se hace entero o no se hace."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, **values: Any) -> Sequence[RowMapping]:
        """Las filas de una consulta o de un `… RETURNING`."""
        result = await self._connection.execute(text(sql), values)
        return result.mappings().all()

    async def fetch_one(self, sql: str, **values: Any) -> RowMapping | None:
        result = await self._connection.execute(text(sql), values)
        return result.mappings().first()

    async def execute(self, sql: str, **values: Any) -> int:
        """Cuántas filas ha cambiado."""
        result = await self._connection.execute(text(sql), values)
        return result.rowcount


class Database:
    """El grupo de conexiones. Cada método suelto es una transacción."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=STATEMENT_SECONDS,
            # Tras un reinicio de PostgreSQL las conexiones guardadas están muertas: se prueban antes de usarlas.
            pool_pre_ping=True,
            connect_args={"timeout": CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS},
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self.engine.begin() as connection:
            yield Transaction(connection)

    async def fetch(self, sql: str, **values: Any) -> Sequence[RowMapping]:
        async with self.transaction() as transaction:
            return await transaction.fetch(sql, **values)

    async def fetch_one(self, sql: str, **values: Any) -> RowMapping | None:
        async with self.transaction() as transaction:
            return await transaction.fetch_one(sql, **values)

    async def execute(self, sql: str, **values: Any) -> int:
        async with self.transaction() as transaction:
            return await transaction.execute(sql, **values)

    async def close(self) -> None:
        await self.engine.dispose()


def sqlalchemy_url(url: str) -> str:
    """La misma URL con el conductor que pide SQLAlchemy: `postgresql+asyncpg://…`."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


# Clases de error de PostgreSQL que hablan de él y no de la consulta: sin conexión, sin sitio, arrancando o cerrándose.
AWAY_STATES = ("08", "53", "57P")


def is_away(error: BaseException) -> bool:
    """Si el error significa que PostgreSQL no está, y no que la consulta esté mal."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or state.startswith(AWAY_STATES):
            return True
        return isinstance(error, (OperationalError, InterfaceError))
    return isinstance(error, (OSError, TimeoutError, PoolTimeout))
