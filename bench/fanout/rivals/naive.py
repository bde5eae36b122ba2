"""El bucle de la teoría: a cada conexión, una detrás de otra, y se espera a cada una."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
connections: list[WebSocket] = []


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    connections.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            for connection in list(connections):
                await connection.send_text(text)
    except WebSocketDisconnect:
        connections.remove(websocket)
