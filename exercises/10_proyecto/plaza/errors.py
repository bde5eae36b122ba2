"""Cómo se dicen los errores: `{"detail": "…"}` con su código; nunca un 500 porque falte un servidor."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from plaza.database import is_away

RETRY_SECONDS = 2
logger = structlog.get_logger()


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    return JSONResponse({"detail": detail, **more}, status, headers)


async def invalid(_: Request, error: Exception) -> JSONResponse:
    """422 sin repetir lo recibido: la respuesta de fábrica lo repite, y falla con un sustituto suelto."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in each["loc"][1:]), "problem": each["type"]} for each in error.errors()
    ]
    return problem(422, "Los datos no son válidos", errors=errors)


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """503 si PostgreSQL o Redis no están; cualquier otra cosa es un error nuestro, y se ve."""
    if isinstance(error, RedisError) or is_away(error):
        logger.warning("servidor no disponible", path=request.url.path, error=type(error).__name__)
        return problem(503, "Vuelve a intentarlo en un momento", {"Retry-After": str(RETRY_SECONDS)})
    raise error


def install(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(RedisError, unavailable)
    for kind in away_errors():
        app.add_exception_handler(kind, unavailable)


def away_errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    return (DBAPIError, PoolTimeout, OSError, TimeoutError)
