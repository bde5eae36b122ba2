"""El último canal: si un aviso sigue sin entregar al cabo de un rato, se manda por correo."""

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib
import structlog
from sqlalchemy import RowMapping

from plaza import metrics
from plaza.database import Database, Transaction
from plaza.settings import Settings

SENDER = "plaza@example.org"
SWEEP_SECONDS = 0.5
SMTP_SECONDS = 5.0
RETRY_SECONDS = 10.0
MAX_ATTEMPTS = 6

logger = structlog.get_logger()

# SKIP LOCKED: con varios obreros, cada uno toma uno distinto, y el que muera a mitad lo suelta.
NEXT = """
SELECT n.id, n.text, u.email, u.username, n.email_attempts FROM notifications n JOIN users u ON u.id = n.user_id
LEFT JOIN messages m ON m.id = n.message_id
WHERE n.delivered_at IS NULL AND n.read_at IS NULL AND n.email_after < now() AND n.email_attempts < :most
  AND m.deleted IS NOT TRUE
ORDER BY n.email_after LIMIT 1 FOR UPDATE OF n SKIP LOCKED
"""


@dataclass
class Mailer:
    settings: Settings
    database: Database

    async def run(self) -> None:
        while True:
            try:
                while await self.send_one():
                    pass
            except Exception as error:
                logger.warning("el correo no puede trabajar", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)

    async def send_one(self) -> bool:
        """Manda un aviso vencido, con su fila tomada mientras tanto. Si había alguno."""
        async with self.database.transaction() as transaction:
            row = await transaction.fetch_one(NEXT, most=MAX_ATTEMPTS)
            if row is None:
                return False
            try:
                async with asyncio.timeout(SMTP_SECONDS):
                    await self._send(row)
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                logger.warning("no se ha podido mandar un correo", notification=row["id"], error=type(error).__name__)
                await self._postpone(transaction, row)
                return True
            metrics.degradations.labels("sse", "email").inc()
            await transaction.execute(
                "UPDATE notifications SET delivered_by = 'email', delivered_at = now() WHERE id = :id", id=row["id"]
            )
        return True

    async def _postpone(self, transaction: Transaction, row: RowMapping) -> None:
        await transaction.execute(
            "UPDATE notifications SET email_attempts = email_attempts + 1, "
            "email_after = now() + make_interval(secs => :wait) WHERE id = :id",
            id=row["id"],
            wait=RETRY_SECONDS * 2 ** row["email_attempts"],
        )

    async def _send(self, row: RowMapping) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = SENDER, row["email"], "Tienes un aviso en Plaza"
        # Fijo por aviso: si se manda dos veces, el programa de correo puede ver que es el mismo.
        mail["Message-ID"] = f"<notification-{row['id']}@plaza.example.org>"
        mail.set_content(f"Hola, {row['username']}:\n\n{row['text']}\n")
        server = urlsplit(self.settings.smtp_url)
        client = aiosmtplib.SMTP(hostname=server.hostname, port=server.port, timeout=None)
        try:
            await client.connect()
            await client.send_message(mail)
        finally:
            client.close()
