"""Espera: llama a uvicorn.run() al cargarse (en e1_eco.py, línea 6)"""
import uvicorn
from fastapi import FastAPI

app = FastAPI()
uvicorn.run(app, port=8000)
