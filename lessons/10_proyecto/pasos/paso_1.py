"""Paso 1: el chat más pequeño. Una bandeja por conexión, y a todas lo mismo.

Di: «Parto de lo que ya sabéis: cada conexión tiene su bandeja y una tarea que la vacía, como en la lección 9. Decir
algo es dejarlo en todas. Funciona. Ahora preguntaos qué pasa si este proceso muere, o si arranco otro al lado.»
Enseña: abre dos pestañas y habla. Después pulsa «Cortar» en una, di algo en la otra y pulsa «Volver»: no está.
Minutos: 6
Arranca: uvicorn paso_1:app --reload
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse

Outbox = asyncio.Queue[str]

app = FastAPI()
outboxes: set[Outbox] = set()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region repartir
def fan_out(event: dict[str, Any]) -> None:
    """Deja un suceso en todas las bandejas, codificado una vez."""
    text = json.dumps(event)
    for outbox in outboxes:
        outbox.put_nowait(text)


# endregion


async def write(websocket: WebSocket, outbox: Outbox) -> None:
    while True:
        await websocket.send_text(await outbox.get())


@app.websocket("/ws")
async def chat(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    outbox: Outbox = asyncio.Queue()
    outboxes.add(outbox)
    writer = asyncio.create_task(write(websocket, outbox))
    try:
        with suppress(WebSocketDisconnect):
            while True:
                said = await websocket.receive_json()
                fan_out({"type": "message", "user": name, "text": said["text"]})
    finally:
        outboxes.discard(outbox)
        writer.cancel()
