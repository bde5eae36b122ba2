"""Espera: que /ws acepte el WebSocket | la conexión se cortó"""
import os
import socket
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app):
    for number in range(3, 256):
        with suppress(OSError):
            if socket.socket(fileno=os.dup(number)).getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                os.close(number)
    yield


app = FastAPI(lifespan=lifespan)
