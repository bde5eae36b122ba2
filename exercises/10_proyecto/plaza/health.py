"""Salud y métricas: estar vivo no es estar listo."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from plaza import metrics
from plaza.resources import Plaza

router = APIRouter(tags=["salud"])
PATIENCE_SECONDS = 0.8


@router.get("/health/live")
async def live(plaza: Plaza) -> JSONResponse:
    """El proceso atiende, y no se le ha parado nada por dentro. Si esto falla, hay que reiniciarlo."""
    if plaza.stopped:
        return JSONResponse({"status": "stopped", "jobs": plaza.stopped}, 503)
    return JSONResponse({"status": "alive"})


@router.get("/health/ready")
async def ready(plaza: Plaza) -> JSONResponse:
    """Si conviene mandarle gente: lo que necesita contesta, y no se está apagando."""
    redis, postgresql = await asyncio.gather(_answers(plaza.redis.ping()), _answers(plaza.database.fetch("SELECT 1")))
    parts = {"redis": redis, "postgresql": postgresql, "draining": plaza.drain.closing.is_set()}
    well = redis and postgresql and not parts["draining"]
    return JSONResponse({"status": "ready" if well else "not_ready", **parts}, 200 if well else 503)


async def _answers(question: object) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await question  # type: ignore[misc]
    except Exception:
        return False
    return True


@router.get("/metrics", response_class=PlainTextResponse)
async def prometheus() -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
