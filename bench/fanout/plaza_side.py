"""Plaza lista para medir: sus servidores, en el núcleo del cliente, y gente con billete en una sala nueva."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from fanout.client import Load
from fanout.servers import CLIENT_CORE, PLAZA, PLAZA_TEXT, Server, free_port, pinned, uvicorn
from taller.services import Postgres, Valkey, postgres, valkey

MIGRATION_SECONDS = 60
SPARES = 100
LONG_TEXT = "x" * 3900
# Quien no lee se queda todo lo que dura la medida: lo peor que puede pasar a los demás.
PATIENT = {"PLAZA_SEND_SECONDS": "600", "PLAZA_OUTBOX_BYTES": str(2**28)}
# Los límites por persona no son lo que se mide.
SETTINGS = {"PLAZA_MESSAGES_PER_SECOND": "1000", "PLAZA_CONNECTIONS_PER_USER": "1000", "PLAZA_TICKET_SECONDS": "300"}

ENROLL = """
WITH people AS (
    INSERT INTO users (username, email, password_hash)
    SELECT $1 || n, n || '@example.org', '' FROM generate_series(1, $2) n RETURNING id, username
), opened AS (
    INSERT INTO sessions (id, user_id, token_hash, expires_at)
    SELECT gen_random_uuid(), id, '', now() + interval '1 day' FROM people RETURNING id, user_id
)
SELECT people.id AS user_id, username, opened.id AS session_id FROM people JOIN opened ON opened.user_id = people.id
"""


@dataclass
class PlazaSide:
    database: Postgres
    redis: Valkey

    @property
    def env(self) -> Mapping[str, str]:
        return {"DATABASE_URL": self.database.url, "REDIS_URL": self.redis.url, **SETTINGS}

    @contextlib.contextmanager
    def serving(self, processes: int = 1, **settings: str) -> Iterator[list[Server]]:
        """Procesos web recién arrancados, todos en el núcleo del servidor."""
        with ExitStack() as stack:
            servers = []
            for _ in range(processes):
                port = free_port()
                server = Server(uvicorn(sys.executable, "plaza.main:app", port), {**self.env, **settings}, port, PLAZA)
                servers.append(stack.enter_context(server.running()))
            yield servers

    async def tickets(self, count: int) -> list[str]:
        """Billetes para otras tantas personas nuevas."""
        database = await asyncpg.connect(self.database.url)
        try:
            people = await database.fetch(ENROLL, f"p{uuid4().hex[:8]}_", count)
        finally:
            await database.close()
        tickets = [uuid4().hex for _ in people]
        expires_at = time.time() + 86_400
        async with self.redis.client() as redis, redis.pipeline() as pipe:
            for person, ticket in zip(people, tickets, strict=True):
                identity = (
                    f'{{"user_id":{person["user_id"]},"username":"{person["username"]}",'
                    f'"session_id":"{person["session_id"]}","expires_at":{expires_at}}}'
                )
                pipe.set(f"ticket:{ticket}", identity, ex=600)
            await pipe.execute()
        return tickets

    async def load(self, servers: list[Server], connections: int, stalled: int = 0) -> Load:
        """Gente nueva en una sala nueva, repartida entre los procesos."""
        database = await asyncpg.connect(self.database.url)
        try:
            room = await database.fetchval("INSERT INTO rooms (name, private) VALUES ('sala', false) RETURNING id")
        finally:
            await database.close()
        tickets = await self.tickets(connections + stalled + SPARES)
        places = [
            (servers[number % len(servers)].port, f"/ws?ticket={ticket}") for number, ticket in enumerate(tickets)
        ]
        said = f'"room":{room},"text":"{{token}} {PLAZA_TEXT}","client_id":"{uuid4().hex[:8]}-{{number}}"'
        return Load(
            targets=places[:connections],
            stalled=places[connections : connections + stalled],
            spares=places[connections + stalled :],
            hello=f'{{"type":"join","room":{room}}}',
            ready='"joined"',
            frame=f'{{"type":"send",{said}}}',
            flood=f'{{"type":"send",{said.replace(PLAZA_TEXT, LONG_TEXT)}}}',
        )


@contextlib.asynccontextmanager
async def plaza_side() -> AsyncIterator[PlazaSide]:
    async with AsyncExitStack() as stack:
        with pinned(CLIENT_CORE):
            side = PlazaSide(await stack.enter_async_context(postgres()), await stack.enter_async_context(valkey()))
        await asyncio.to_thread(_migrate, side.env)
        yield side


def _migrate(env: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "plaza.migrations"]
    subprocess.run(command, cwd=PLAZA, env={**os.environ, **env}, check=True, timeout=MIGRATION_SECONDS)
