"""Lo que comparten las cuatro etapas de Plaza: la base de datos con sus tablas y gente con cuenta."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from plaza_people import Person, sign_up

from taller.checking import Launch, Link, SharedApp, link_to
from taller.services import Postgres, Valkey


@pytest.fixture(scope="module")
async def database_link(postgres_server: Postgres) -> AsyncIterator[Link]:
    """El cable de «app» con PostgreSQL; los demás procesos van por el suyo, que nadie sujeta."""
    async with link_to(postgres_server.url) as link:
        yield link


@pytest.fixture(scope="module")
async def redis_link(valkey_server: Valkey) -> AsyncIterator[Link]:
    async with link_to(valkey_server.url) as link:
        yield link


@pytest.fixture(scope="module", autouse=True)
async def schema(launch: Launch) -> None:
    """Las tablas, con las migraciones del propio estudiante."""
    await launch.once("plaza.migrations")


@pytest.fixture(scope="module")
async def people(schema: None, shared_app: SharedApp) -> list[Person]:
    """Tres personas con cuenta y sesión, que valen para todos los controles: la base no se vacía entre uno y otro."""
    app = await shared_app.get()
    mark = secrets.token_hex(3)
    return await asyncio.gather(*(sign_up(app, f"{name}_{mark}") for name in ("ana", "luis", "eva")))
