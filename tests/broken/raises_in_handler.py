"""Espera: tu app lanzó ValueError: sin terminar (e1_eco.py, línea 10)"""
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    raise ValueError("sin terminar")
