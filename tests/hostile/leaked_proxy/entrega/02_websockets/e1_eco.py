import asyncio

from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

app = FastAPI()


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    async with connect("ws://127.0.0.1:27813/ws", open_timeout=2) as leaked:

        async def back() -> None:
            async for message in leaked:
                await websocket.send_text(str(message))

        task = asyncio.create_task(back())
        while True:
            await leaked.send(await websocket.receive_text())
