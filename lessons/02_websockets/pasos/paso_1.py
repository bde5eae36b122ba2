"""Paso 1: aceptar, leer, contestar.

Di: «Una ruta WebSocket es una función que vive lo que vive la conexión. Nada pasa hasta que acepto. Después,
un bucle: espero un texto y lo devuelvo. Acaba con una excepción, porque quien decide irse es el otro.»
Enseña: dos pestañas; cada una tiene su propia función en marcha. Cierra una: el servidor sigue con la otra.
Minutos: 4
Arranca: uvicorn paso_1:app --reload
"""

from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region eco
@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(text)


# endregion
