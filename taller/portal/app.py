"""Monta el portal: aquí se ve qué piezas tiene y quién conoce a quién."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from taller.checker import Checker
from taller.portal import api, pages
from taller.portal.demos import Demos
from taller.portal.desk import Desk
from taller.portal.hub import Hub
from taller.portal.ledger import Ledger
from taller.portal.live import Live
from taller.portal.pieces import Pieces
from taller.portal.security import OnlyThisMachine

HERE = Path(__file__).parent


def create_app(root: Path, checker: Checker) -> FastAPI:
    """El portal del curso que hay en `root`; `checker` sigue siendo de quien lo creó."""
    hub = Hub()
    ledger = Ledger(root, on_trouble=lambda text: hub.publish("trouble", {"text": text}))
    live = Live(root, checker, hub, ledger)
    demos = Demos(checker.runner, live.warm, hub)
    desk = Desk()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with live.running():
            yield
            await asyncio.gather(demos.close(), desk.stop())

    app = FastAPI(title="Taller de APIs en tiempo real", lifespan=lifespan, openapi_url=None)
    app.state.pieces = Pieces(root, hub, ledger, live, demos, desk)
    app.add_middleware(OnlyThisMachine)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.mount("/common", StaticFiles(directory=root / "lessons" / "common"), name="common")
    app.add_exception_handler(404, pages.not_found)
    return app
