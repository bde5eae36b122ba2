"""Los avisos de 9.2 desde fuera: quien los pide, quien los recibe por cada canal y qué contesta."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from taller.checking import App, Matching, Mismatch, eventually, expect
from taller.services import Mail, Mailbox
from taller.wire import SseClient, WebSocketClient

ID = Matching(r"\S+", "un id")


def someone(rng: Random) -> str:
    return f"persona{rng.randrange(10**6)}"


@asynccontextmanager
async def by_websocket(app: App, user: str, name: str = "WebSocket") -> AsyncIterator[WebSocketClient]:
    async with app.websocket(f"/ws/{user}", name=name) as client:
        await client.expect({"type": "ready"})
        yield client


@asynccontextmanager
async def by_stream(app: App, user: str, name: str = "flujo") -> AsyncIterator[SseClient]:
    async with app.sse(f"/events/{user}", name=name) as stream:
        await stream.expect({}, event="ready")
        yield stream


@dataclass
class Notice:
    """Un POST en marcha: mientras se espera su recibo, el control hace de cliente de los canales."""

    app: App
    user: str
    text: str
    answer: asyncio.Task[httpx.Response]

    async def reaches(self, client: WebSocketClient | SseClient) -> str:
        """Espera a que le llegue a ese cliente; devuelve el id."""
        if isinstance(client, SseClient):
            return str((await client.expect({"id": ID, "text": self.text}, event="notification")).json()["id"])
        return str((await client.expect({"type": "notification", "id": ID, "text": self.text}))["id"])

    async def confirm(self, note_id: str, status: int = 204, by: str = "") -> None:
        """Confirma el aviso quien lo esperaba o, en su lugar, otra persona."""
        await self.app.post(f"/users/{by or self.user}/notifications/{note_id}/ack", client="flujo", status=status)

    async def receipt(self, channel: str, note_id: Any = ID) -> str:
        """El recibo, que debe nombrar ese canal; devuelve el id."""
        response = await self.answer
        expect(response.status_code, 200, "el código del POST")
        expect(response.json(), {"id": note_id, "channel": channel}, "el recibo")
        return str(response.json()["id"])


@asynccontextmanager
async def notifying(app: App, user: str, rng: Random) -> AsyncIterator[Notice]:
    text = f"Ha llegado tu pedido {rng.randrange(10**6)} ñ€"
    posting = app.post(f"/users/{user}/notifications", json={"text": text}, client="quien avisa", within=2.0)
    notice = Notice(app, user, text, asyncio.create_task(posting))
    try:
        yield notice
    finally:
        notice.answer.cancel()
        with contextlib.suppress(asyncio.CancelledError, Mismatch):
            await notice.answer


async def answer(client: WebSocketClient, kind: str, note_id: str) -> None:
    await client.send_json({"type": kind, "id": note_id})


async def mails_to(mailbox: Mailbox, user: str) -> list[Mail]:
    """Los correos que llegan a esa persona, cuando hay alguno."""

    def hers() -> list[Mail]:
        return [mail for mail in mailbox.messages if f"{user}@example.org" in mail.recipients]

    return await eventually(hers, bool, f"un correo para {user}@example.org")


async def until_status(app: App, note_id: str, status: str) -> None:
    def ready(response: httpx.Response) -> bool:
        return bool(response.status_code == 200 and response.json().get("status") == status)

    await app.poll(f"/mail/{note_id}", ready, expecting=f"que GET /mail/{note_id} diga «{status}»")
