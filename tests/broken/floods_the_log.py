"""Espera: nada en 1 s"""
import asyncio
import sys
import threading

from fastapi import FastAPI, WebSocket

app = FastAPI()


def flood():
    while True:
        sys.stdout.write("inundación " * 1000)


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    threading.Thread(target=flood, daemon=True).start()
    await asyncio.Event().wait()
