"""Plaza, entera: qué se abre al arrancar, qué rutas hay y cómo se despide."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from plaza import accounts, chat, dashboard, errors, health, logs, messages, moderation, notifications, rooms
from plaza.journal import dump
from plaza.resources import Resources, open_resources
from plaza.settings import Settings

PAGES = Path(__file__).parent / "pages"
RETURN_MS = (200, 3000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    logs.configure()
    async with open_resources(Settings.load()) as resources:
        app.state.resources = resources
        async with resources.drain.on_termination(lambda: farewell(resources)):
            yield


async def farewell(plaza: Resources) -> None:
    """Termina los flujos y dice a cada conexión que vuelva, no todas a la vez; acaba cuando se les ha enviado."""
    plaza.notices.end_streams()
    plaza.vitals.end_streams()
    # region TODO 44: Manda a cada conexión «goodbye», con un retry_after_ms al azar, y espera a que salga.
    #: return
    sent = []
    for connection in list(plaza.hub.connections):
        gone = asyncio.Event()
        content = {"type": "goodbye", "retry_after_ms": random.randint(*RETURN_MS)}
        plaza.hub.tell(connection, dump(content), gone.set)
        sent.append(gone.wait())
    await asyncio.gather(*sent)
    # endregion


def create_app() -> FastAPI:
    app = FastAPI(title="Plaza", lifespan=lifespan)
    errors.install(app)
    for module in (accounts, rooms, moderation, messages, notifications, dashboard, health, chat):
        app.include_router(module.router)
    app.mount("/", StaticFiles(directory=PAGES, html=True), name="pages")
    app.add_middleware(logs.RequestId)
    return app


app = create_app()
