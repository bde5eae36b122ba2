"""La página que enseña un buzón en vivo: cada correo aparece en cuanto llega."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from sse_starlette import EventSourceResponse

from taller.services.mailbox import Mail, Mailbox

PAGE = Path(__file__).with_name("inbox.html")
COMMON = Path(__file__).parents[2] / "lessons" / "common"


def mail_to_dict(mail: Mail) -> dict[str, Any]:
    """Un correo como JSON: `sender`, `recipients`, `subject`, `body`, `received_at` (ISO 8601)."""
    return {
        "sender": mail.sender,
        "recipients": list(mail.recipients),
        "subject": mail.subject,
        "body": mail.body,
        "received_at": mail.received_at.isoformat(),
    }


def create_inbox(mailbox: Mailbox) -> FastAPI:
    """La aplicación: la página en `/`, la lista en `/api/messages` (GET, DELETE) y en `/api/stream` (SSE)."""
    app = FastAPI(title="Buzón del taller")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE)

    @app.get("/api/messages")
    async def list_messages() -> list[dict[str, Any]]:
        return [mail_to_dict(mail) for mail in mailbox.messages]

    @app.delete("/api/messages", status_code=204)
    async def clear_messages() -> None:
        await mailbox.clear()

    @app.get("/api/stream")
    async def stream() -> EventSourceResponse:
        # sse-starlette, y no el SSE de FastAPI: solo él termina los flujos abiertos al cerrar el servidor.
        return EventSourceResponse(_events(mailbox))

    if COMMON.is_dir():
        app.mount("/common", StaticFiles(directory=COMMON))
    return app


async def _events(mailbox: Mailbox) -> AsyncIterator[dict[str, str]]:
    async for messages in mailbox.changes():
        yield {"data": json.dumps([mail_to_dict(mail) for mail in messages], ensure_ascii=False)}
