"""Espera: un mensaje de más de 4 MiB // nada en 1 s"""
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_bytes(bytes(2**30))
