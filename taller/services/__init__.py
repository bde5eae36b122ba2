"""Servidores de verdad por encargo: Valkey, PostgreSQL y un buzón SMTP, que no dejan rastro al terminar.

    async with valkey() as server, server.client() as redis:
        await redis.set("clave", "valor")

`REDIS_URL`, `DATABASE_URL` y `SMTP_URL`, si existen, mandan usar los de fuera. Los controles no los miran:
vacían, matan y pausan los suyos.
"""

from taller.services.errors import ServiceError
from taller.services.everything import Services, all_services, inbox_page, serve_until_stopped, stop_event
from taller.services.inbox import create_inbox
from taller.services.mailbox import Mail, Mailbox, smtp
from taller.services.postgres_server import Postgres, postgres
from taller.services.valkey_server import Valkey, valkey

__all__ = [
    "Mail",
    "Mailbox",
    "Postgres",
    "ServiceError",
    "Services",
    "Valkey",
    "all_services",
    "create_inbox",
    "inbox_page",
    "postgres",
    "serve_until_stopped",
    "smtp",
    "stop_event",
    "valkey",
]
