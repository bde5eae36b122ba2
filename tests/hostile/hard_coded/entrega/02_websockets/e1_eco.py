from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.receive()
        await websocket.send_json({"type": "echo", "text": "hola", "seq": 1})
