"""Paso 1: un servicio que va bien, creo.

Di: «Un eco. Le he puesto una espera y una manera de fallar, para tener algo que mirar. ¿Cuánta gente hay conectada
ahora mismo? ¿Cuánto tarda? ¿A cuántos les ha fallado hoy? No lo sé. Puedo mirar la terminal, si cabe.»
Enseña: «Abrir 30» y «Enviar 10». Después «Leer»: 404. No hay nada que leer.
Minutos: 6
Arranca: uvicorn paso_1:app --reload
"""

import asyncio
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel, ValidationError

app = FastAPI()


class Message(BaseModel):
    text: str
    wait: float = 0.0
    fail: bool = False


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await answer(websocket)
    except WebSocketDisconnect:
        pass
    except ValidationError:
        await websocket.close(1003)


async def answer(websocket: WebSocket) -> None:
    message = Message.model_validate_json(await websocket.receive_text())
    await asyncio.sleep(message.wait)
    if message.fail:
        raise RuntimeError("el mensaje pedía un fallo")
    await websocket.send_json({"text": message.text})
