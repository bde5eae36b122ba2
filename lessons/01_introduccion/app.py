"""Mini-app de la lección 1: un precio, visto a la vez por sondeo, sondeo largo, SSE y WebSocket.

uvicorn app:app        y abre la dirección que imprime (un solo proceso: el mercado y los contadores viven dentro)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lab
import prices
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pace import Clock, Pace

HERE = Path(__file__).parent
clock = Clock()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    ticking = asyncio.create_task(clock.run())
    yield
    ticking.cancel()


app = FastAPI(title="Un precio, cuatro maneras de verlo", lifespan=lifespan)
# Cada panel habla por el puerto de su contador, que para el navegador es otro origen.
app.add_middleware(CORSMiddleware, allow_origins=["*"])
app.include_router(prices.router)
app.include_router(lab.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.get("/api/pace")
async def read_pace() -> Pace:
    return clock.pace


@app.put("/api/pace")
async def set_pace(pace: Pace) -> Pace:
    clock.set(pace)
    return clock.pace


@app.post("/api/move", status_code=204)
async def move() -> None:
    """El precio cambia ahora mismo."""
    prices.market.move()
