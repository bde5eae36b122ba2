"""Espera: falló en su lifespan"""
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app):
    raise RuntimeError("no hay base de datos")
    yield


app = FastAPI(lifespan=lifespan)
