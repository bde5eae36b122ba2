"""Espera: terminó por la señal SIGABRT antes de atender"""
import os
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app):
    os.closerange(3, 256)
    yield


app = FastAPI(lifespan=lifespan)
