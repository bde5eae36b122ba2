"""Espera: nada en 1 s"""
import asyncio
import signal

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    await websocket.accept()
    await asyncio.Event().wait()
