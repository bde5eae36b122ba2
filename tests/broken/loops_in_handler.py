"""Espera: tu app está parada en e1_eco.py, línea 1"""
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    await websocket.receive_text()
    while True:
        pass
