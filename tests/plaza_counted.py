"""Plaza con una ventana: `GET /contado` dice cuántas tareas asíncronas tiene el proceso; desde fuera no se ven."""

import asyncio

from fastapi.responses import JSONResponse
from plaza.main import app as plaza
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/contado":
        await JSONResponse({"tasks": len(asyncio.all_tasks())})(scope, receive, send)
    else:
        await plaza(scope, receive, send)
