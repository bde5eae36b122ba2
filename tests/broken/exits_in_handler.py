"""Espera: tu app terminó con el código 3"""
import os

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    os._exit(3)
