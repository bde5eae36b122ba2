"""Los tres servicios a la vez, en puertos conocidos, para probar a mano: `taller servicios`."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvicorn

from taller.services.errors import ServiceError
from taller.services.inbox import create_inbox
from taller.services.mailbox import Mailbox, smtp
from taller.services.places import LOOPBACK, free_port
from taller.services.postgres_server import Postgres, postgres
from taller.services.valkey_server import Valkey, valkey

VALKEY_PORT = 6379
POSTGRES_PORT = 5432
SMTP_PORT = 1025
INBOX_PORT = 8025
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Service = TypeVar("Service")


@dataclass(frozen=True)
class Services:
    """Los servicios en marcha; `inbox_url` es la página del buzón, o None si el correo va a SMTP_URL."""

    valkey: Valkey
    postgres: Postgres
    mailbox: Mailbox
    inbox_url: str | None


class _QuietServer(uvicorn.Server):
    """Un uvicorn que no toca las señales: quien las atiende es el programa que lo usa."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def inbox_page(mailbox: Mailbox) -> AsyncIterator[str]:
    """La página del buzón en 127.0.0.1, en su puerto de siempre o, si está ocupado, en otro; da su dirección."""
    listener = socket.create_server((LOOPBACK, free_port(INBOX_PORT)))
    config = uvicorn.Config(create_inbox(mailbox), log_level="warning", timeout_graceful_shutdown=2)
    server = _QuietServer(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        # Antes que nada, los flujos: si no, uvicorn esperaría por ellos hasta cansarse.
        await mailbox.end_changes()
        server.should_exit = True
        await running
        listener.close()


@asynccontextmanager
async def all_services(directory: Path | None = None) -> AsyncIterator[Services]:
    """Valkey, PostgreSQL, el buzón y su página en 127.0.0.1, en sus puertos de siempre o, si no, en libres.

    Con `directory`, Valkey y PostgreSQL guardan ahí sus datos. Lanza ServiceError si alguno no arranca.
    """
    async with AsyncExitStack() as stack:
        redis = await _enter(stack, partial(valkey, directory and directory / "valkey"), VALKEY_PORT)
        database = await _enter(stack, partial(postgres, directory and directory / "postgres"), POSTGRES_PORT)
        mailbox = await stack.enter_async_context(smtp(port=free_port(SMTP_PORT)))
        page = await stack.enter_async_context(inbox_page(mailbox)) if mailbox.readable else None
        yield Services(redis, database, mailbox, page)


async def _enter(
    stack: AsyncExitStack, service: Callable[..., AbstractAsyncContextManager[Service]], preferred: int
) -> Service:
    """Entra en `service(port=…)`. Si otro programa coge el puerto mientras se prepara, prueba en otro."""
    port = free_port(preferred)
    try:
        return await stack.enter_async_context(service(port=port))
    except ServiceError:
        if free_port(port) == port:
            raise
        return await stack.enter_async_context(service(port=free_port()))


async def serve_until_stopped(report: Callable[[str], None]) -> None:
    """Mantiene los tres servicios hasta SIGINT o SIGTERM; `report` recibe las líneas que hay que enseñar."""
    with stop_event() as stopped:
        async with all_services() as services:
            report(f"export REDIS_URL={services.valkey.url}")
            report(f"export DATABASE_URL={services.postgres.url}")
            report(f"export SMTP_URL={services.mailbox.url}")
            if services.inbox_url:
                report(f"Buzón: {services.inbox_url}")
            report("Copia las líneas «export» en otro terminal. Para cerrar los servicios: Ctrl+C")
            await stopped.wait()


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """Se enciende con SIGINT o SIGTERM, que mientras tanto no interrumpen nada."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    # En Windows el bucle no atiende señales: ahí Ctrl+C cancela la tarea, y la salida es igual de limpia.
    with contextlib.suppress(NotImplementedError):
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
