"""Espera: que /ws acepte el WebSocket"""
import tempfile
from pathlib import Path

from fastapi import FastAPI

Path(tempfile.mkdtemp(), "olvidado.txt").write_text("nadie lo borra")
app = FastAPI()
