"""Paso 2: un protocolo. Mensajes con tipo, y errores que no matan la conexión.

Di: «WebSocket lleva textos; qué significan lo decidimos nosotros. Dos peticiones: `say` y `ping`. Lo demás
recibe un error y seguimos: quien se equivoca no pierde su sitio. El contador es una variable local, así que
cada conexión tiene el suyo.»
Enseña: manda `{`, luego `{"type": "baila"}`, luego `{"type": "say"}`. Tres errores, una sola conexión.
Minutos: 6
Arranca: uvicorn paso_2:app --reload
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region protocolo
class Say(BaseModel):
    type: Literal["say"]
    text: str = Field(min_length=1)


class Ping(BaseModel):
    type: Literal["ping"]


Request = TypeAdapter[Say | Ping](Annotated[Say | Ping, Field(discriminator="type")])


def explain(problem: ValidationError) -> dict[str, Any]:
    """Un motivo que el programa del otro lado puede comparar y una frase que su autor puede leer."""
    if problem.errors(include_url=False)[0]["type"] == "json_invalid":
        return {"type": "error", "reason": "invalid_json", "detail": "eso no es JSON"}
    return {"type": "error", "reason": "invalid_message", "detail": "se espera «say», con «text», o «ping»"}


# endregion


# region conversar
@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    said = 0
    with suppress(WebSocketDisconnect):
        while True:
            try:
                request = Request.validate_json(await websocket.receive_text())
            except ValidationError as problem:
                await send(websocket, explain(problem))
                continue
            match request:
                case Say(text=text):
                    said += 1
                    await send(websocket, {"type": "said", "text": text, "number": said})
                case Ping():
                    await send(websocket, {"type": "pong"})


async def send(websocket: WebSocket, event: dict[str, Any]) -> None:
    await websocket.send_text(json.dumps(event, ensure_ascii=False))


# endregion
