"""El último recurso: el correo, escrito en una cola de Redis antes de decir que sí, y un cartero que la vacía."""

import asyncio
from contextlib import suppress
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
from channels import Notification
from redis.asyncio import Redis
from redis.exceptions import RedisError

PAUSE_SECONDS = 0.2


class Mail:
    def __init__(self, redis: Redis, smtp_url: str) -> None:
        self.redis, self.smtp = redis, urlsplit(smtp_url)

    # region encolar
    async def enqueue(self, note: Notification) -> bool:
        """Sobrevive a este proceso desde que Redis contesta, y no antes."""
        await self.redis.xadd("mail", {"text": note.text})
        return True

    # endregion

    async def run(self) -> None:
        """Envía lo que haya, por orden; lo quita de la cola después de enviarlo. Basta si hay un solo cartero."""
        while True:
            with suppress(RedisError, OSError, aiosmtplib.SMTPException):
                entries: Any = await self.redis.xrange("mail", count=1)
                for entry_id, fields in entries:
                    await self.send(fields[b"text"].decode())
                    await self.redis.xdel("mail", entry_id)
            await asyncio.sleep(PAUSE_SECONDS)

    async def send(self, text: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "taller@example.org", "ana@example.org", "Tienes un aviso"
        message.set_content(text)
        await aiosmtplib.send(message, hostname=self.smtp.hostname, port=self.smtp.port, timeout=5)
