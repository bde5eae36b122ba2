"""Espera: que /ws acepte el WebSocket"""
import os
import time

from fastapi import FastAPI

for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        time.sleep(3600)
app = FastAPI()
