"""El buzón: correo SMTP de verdad, que llega, se rechaza, se retrasa y se lee."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib
import pytest

from taller.services import Mailbox, ServiceError, smtp

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with smtp() as running:
        yield running


async def send(mailbox: Mailbox, subject: str = "¡Hola!", raw: bytes | None = None) -> None:
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content("Bienvenida, Íñiga.\n")
    where = urlsplit(mailbox.url)
    async with aiosmtplib.SMTP(hostname=where.hostname, port=where.port, timeout=5) as client:
        await client.sendmail("taller@ejemplo.es", ["ana@ejemplo.es", "eva@ejemplo.es"], raw or message.as_bytes())


async def test_a_mail_arrives_whole(mailbox: Mailbox) -> None:
    await send(mailbox)
    (mail,) = await mailbox.wait(1, deadline=3)
    assert (mail.sender, mail.recipients) == ("taller@ejemplo.es", ("ana@ejemplo.es", "eva@ejemplo.es"))
    assert (mail.subject, mail.body) == ("¡Hola!", "Bienvenida, Íñiga.")
    assert mail.raw.startswith(b"Subject: =?utf-8?")
    assert abs(mail.received_at.timestamp() - time.time()) < 5


async def test_waiting_ends_when_enough_have_arrived(mailbox: Mailbox) -> None:
    waiting = asyncio.create_task(mailbox.wait(50, deadline=10))
    await asyncio.gather(*(send(mailbox, str(n)) for n in range(50)))
    assert {mail.subject for mail in await waiting} == {str(n) for n in range(50)}


async def test_waiting_in_vain_says_how_many_came(mailbox: Mailbox) -> None:
    await send(mailbox)
    with pytest.raises(TimeoutError, match=r"^En 0\.1 s han llegado 1 correos de 2\.$"):
        await mailbox.wait(2, deadline=0.1)


async def test_clearing_empties_it_and_copies_are_kept(mailbox: Mailbox) -> None:
    await send(mailbox)
    copy = mailbox.messages
    await mailbox.clear()
    assert (mailbox.messages, len(copy)) == ([], 1)


@pytest.mark.parametrize("code", [451, 550])
async def test_it_rejects_as_many_as_asked(mailbox: Mailbox, code: int) -> None:
    mailbox.reject_next(2, code)
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await send(mailbox)
        assert refused.value.code == code
    await send(mailbox, "el tercero")
    assert [mail.subject for mail in mailbox.messages] == ["el tercero"]
    assert len(mailbox.rejected) == 2
    await mailbox.clear()
    assert mailbox.rejected == []


async def test_it_rejects_a_recipient(mailbox: Mailbox) -> None:
    mailbox.reject_next(2, 550, at="RCPT")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(mailbox)
    assert [refusal.code for refusal in refused.value.recipients] == [550, 550]
    assert [mail.recipients for mail in mailbox.rejected] == [("ana@ejemplo.es",), ("eva@ejemplo.es",)]
    await send(mailbox)
    assert len(mailbox.messages) == 1


async def test_it_counts_the_mails_it_holds(mailbox: Mailbox) -> None:
    mailbox.delay(0.3)
    senders = [asyncio.create_task(send(mailbox)) for _ in range(3)]
    async with asyncio.timeout(3):
        while mailbox.held < 3:
            await asyncio.sleep(0.01)
        await asyncio.gather(*senders)
    assert mailbox.held == 0


async def test_it_delays_as_much_as_asked(mailbox: Mailbox) -> None:
    mailbox.delay(1)
    start = time.perf_counter()
    await send(mailbox)
    assert time.perf_counter() - start >= 1
    mailbox.delay(0)
    start = time.perf_counter()
    await send(mailbox)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"Subject: x\r\nContent-Type: text/plain; charset=latin-1\r\n\r\ncaf\xe9", "café"),
        (b"Subject: x\r\nContent-Type: text/plain; charset=marciano\r\n\r\nhola", "hola"),
        (b"Subject: x\r\nContent-Type: text/html\r\n\r\n<b>hola</b>", "<b>hola</b>"),
        (b"Subject: x\r\nContent-Type: image/png\r\n\r\n\x00", ""),
        (b"sin cabeceras", ""),
    ],
)
async def test_strange_mail_is_taken_too(mailbox: Mailbox, raw: bytes, body: str) -> None:
    await send(mailbox, raw=raw)
    (mail,) = await mailbox.wait(1, deadline=3)
    assert mail.body == body
    assert mail.raw.rstrip() == raw.rstrip()


async def test_leaving_with_a_client_connected_frees_the_port() -> None:
    async with smtp() as mailbox:
        port = urlsplit(mailbox.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"220 taller")
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()
    async with smtp(port=port or 0) as again:
        await send(again)


async def test_two_at_once_do_not_share_mail(mailbox: Mailbox) -> None:
    async with smtp() as other:
        await send(other)
    assert mailbox.messages == []


async def test_a_taken_port_is_told() -> None:
    told = pytest.raises(ServiceError, match=r"está ocupado\. Mira por quién con: lsof -i :\d+$")
    with socket.create_server(("127.0.0.1", 0)) as taken, told:
        async with smtp(port=taken.getsockname()[1]):
            pass


async def test_smtp_url_is_used_and_not_read(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", mailbox.url)
    async with smtp() as external:
        await send(external)
        for use in (
            lambda: external.messages,
            lambda: external.held,
            lambda: external.reject_next(1),
            lambda: external.delay(1),
        ):
            with pytest.raises(ServiceError, match=r"unset SMTP_URL$"):
                use()
        for wait in (external.wait(1, 1), external.clear()):
            with pytest.raises(ServiceError, match=r"unset SMTP_URL$"):
                await wait
    assert len(mailbox.messages) == 1


async def test_an_absent_external_server_is_told() -> None:
    with pytest.raises(ServiceError, match=r"^Nadie atiende el correo en 127\.0\.0\.1:1\. .*unset SMTP_URL$"):
        async with smtp(url="smtp://ana:secreto@127.0.0.1:1"):
            pass
