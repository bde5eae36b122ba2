"""Un buzón SMTP de verdad que acepta todo el correo y lo enseña, para lo que envíe quien aprende."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session

from taller.services.errors import ServiceError
from taller.services.places import LOOPBACK

CONNECT_SECONDS = 3.0


@dataclass(frozen=True)
class Mail:
    """Un correo recibido: `sender` y `recipients` son los del sobre SMTP; `raw`, el mensaje como llegó."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    body: str
    received_at: datetime
    raw: bytes


def _read(envelope: Envelope) -> Mail:
    raw = envelope.content if isinstance(envelope.content, bytes) else b""
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    return Mail(
        sender=envelope.mail_from or "",
        recipients=tuple(envelope.rcpt_tos),
        subject=str(message.get("subject", "")),
        body=_text(body) if body else "",
        received_at=datetime.now(UTC),
        raw=raw,
    )


def _text(part: MIMEPart) -> str:
    try:
        return str(part.get_content()).strip()
    except (LookupError, ValueError):  # un juego de caracteres que no existe: se enseña lo que se pueda
        payload = part.get_payload(decode=True)
        return payload.decode(errors="replace").strip() if isinstance(payload, bytes) else ""


class Mailbox:
    """El buzón en marcha. Si viene de SMTP_URL, sus mensajes no se pueden leer: ServiceError."""

    def __init__(self, url: str, readable: bool = True) -> None:
        self.url = url
        self.readable = readable
        self._messages: list[Mail] = []
        self._rejected: list[Mail] = []
        self._changed = asyncio.Condition()
        self._ended = False
        self._rejections = 0
        self._code = 451
        self._stage = "DATA"
        self._delay = 0.0
        self._held = 0

    @property
    def messages(self) -> list[Mail]:
        """Los correos recibidos, del más antiguo al más reciente (una copia)."""
        self._require_readable()
        return list(self._messages)

    @property
    def rejected(self) -> list[Mail]:
        """Los correos rechazados por `reject_next`, en el orden en que se intentaron (una copia)."""
        self._require_readable()
        return list(self._rejected)

    @property
    def held(self) -> int:
        """Cuántos correos tiene en la mano ahora, sin haberlos aceptado ni rechazado (los que retrasa `delay`)."""
        self._require_readable()
        return self._held

    async def wait(self, count: int, deadline: float) -> list[Mail]:
        """Espera a que haya `count` correos y devuelve todos. A los `deadline` segundos, TimeoutError."""
        self._require_readable()
        try:
            async with asyncio.timeout(deadline), self._changed:
                await self._changed.wait_for(lambda: len(self._messages) >= count)
        except TimeoutError:
            raise TimeoutError(f"En {deadline:g} s han llegado {len(self._messages)} correos de {count}.") from None
        return list(self._messages)

    async def changes(self) -> AsyncIterator[list[Mail]]:
        """El contenido del buzón ahora, y de nuevo cada vez que cambia, hasta `end_changes`."""
        while not self._ended:
            before = self.messages
            yield before
            async with self._changed:
                await self._changed.wait_for(partial(self._has_news, before))

    async def end_changes(self) -> None:
        """Quien miraba los cambios ya no verá más: el buzón se va a cerrar."""
        self._ended = True
        async with self._changed:
            self._changed.notify_all()

    async def clear(self) -> None:
        """Vacía el buzón."""
        self._require_readable()
        self._rejected = []
        await self._replace([])

    def reject_next(self, n: int, code: int = 451, *, at: Literal["RCPT", "DATA"] = "DATA") -> None:
        """Rechaza los `n` correos siguientes con `code`: 4xx, «inténtalo luego»; 5xx, «nunca».

        `at` dice cuándo: al recibir el texto o, como ante una dirección que no existe, al oír un destinatario; en
        ese caso cada destinatario cuenta.
        """
        self._require_readable()
        self._rejections, self._code, self._stage = n, code, at

    def delay(self, seconds: float) -> None:
        """Tarda `seconds` en aceptar o rechazar cada correo, desde ahora."""
        self._require_readable()
        self._delay = seconds

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[Any]
    ) -> str:
        """Lo que aiosmtpd llama por cada destinatario; devuelve la respuesta SMTP."""
        if self._rejects("RCPT"):
            return self._reject(replace(_read(envelope), recipients=(address,)))
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Lo que aiosmtpd llama por cada correo; devuelve la respuesta SMTP."""
        self._held += 1
        try:
            await asyncio.sleep(self._delay)
        finally:
            self._held -= 1
        if self._rejects("DATA"):
            return self._reject(_read(envelope))
        await self._replace([*self._messages, _read(envelope)])
        return "250 OK"

    def _rejects(self, stage: str) -> bool:
        return self._rejections > 0 and self._stage == stage

    def _reject(self, mail: Mail) -> str:
        self._rejections -= 1
        self._rejected.append(mail)
        return f"{self._code} Rechazado a propósito".encode("ascii", "replace").decode()

    def _has_news(self, seen: list[Mail]) -> bool:
        return self._ended or self._messages != seen

    async def _replace(self, messages: list[Mail]) -> None:
        async with self._changed:
            self._messages = messages
            self._changed.notify_all()

    def _require_readable(self) -> None:
        if not self.readable:
            raise ServiceError(
                "El correo va a SMTP_URL y aquí no se puede leer. Usa el buzón del curso con: unset SMTP_URL"
            )


@asynccontextmanager
async def _listening(port: int) -> AsyncIterator[Mailbox]:
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []
    # El socket se abre antes que el buzón: así la URL ya es la definitiva.
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError:
        raise ServiceError(f"El puerto {port} está ocupado. Mira por quién con: lsof -i :{port}") from None
    # Lo heredan sus conexiones. Sin esto, la respuesta a EHLO, que va en varias escrituras, tarda 40 ms en llegar.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    mailbox = Mailbox(f"smtp://{LOOPBACK}:{listener.getsockname()[1]}")

    def accept() -> SMTP:
        sessions.append(SMTP(mailbox, hostname="taller", enable_SMTPUTF8=True, loop=loop))
        return sessions[-1]

    server = await loop.create_server(accept, sock=listener)
    try:
        yield mailbox
    finally:
        server.close()
        for session in sessions:
            if session.transport:
                session.transport.close()
        await server.wait_closed()


async def _require_answer(url: str) -> None:
    where = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(where.hostname, where.port or 25)
    except (OSError, TimeoutError):
        address = f"{where.hostname}:{where.port or 25}"
        raise ServiceError(
            f"Nadie atiende el correo en {address}. Usa el buzón del curso con: unset SMTP_URL"
        ) from None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def smtp(*, url: str | None = None, port: int = 0) -> AsyncIterator[Mailbox]:
    """Un buzón en 127.0.0.1 para el bloque `async with`, en `port` o en un puerto libre.

    `url`, o SMTP_URL, manda enviar a otro servidor. ServiceError si no responde o el puerto está ocupado.
    """
    if external := url or os.environ.get("SMTP_URL"):
        await _require_answer(external)
        yield Mailbox(external, readable=False)
        return
    async with _listening(port) as mailbox:
        yield mailbox
