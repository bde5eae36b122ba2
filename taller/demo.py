"""La mini-app de una lección en marcha, para el terminal y los cuadernos.

async with demo(find_lesson("02")) as run:
    run.address.http        # http://127.0.0.1:49321
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taller.catalog import CatalogError, Lesson
from taller.runner import Run, start_runner

START_TIMEOUT = 20.0


@asynccontextmanager
async def demo(lesson: Lesson, port: int | None = None) -> AsyncIterator[Run]:
    """La mini-app, ya atendiendo en 127.0.0.1; al salir no queda nada de ella.

    Raises:
        CatalogError: la lección no está escrita o el puerto está ocupado.
        LaunchError: la mini-app no llega a atender.
    """
    key = lesson.slug[:2]
    if not lesson.written:
        raise CatalogError(f"La lección {key} aún no está escrita. Mira cuáles sí: python3 curso.py lista")
    runner = start_runner()
    try:
        try:
            run = await runner.launch(lesson.folder, "app:app", port=port or 0, uvicorn={"log_level": "warning"})
        except OSError as error:
            if not port:
                raise
            hint = f"Deja que elija uno libre: python3 curso.py demo {key}"
            raise CatalogError(f"El puerto {port} está ocupado. {hint}") from error
        yield await run.ready(START_TIMEOUT)
    finally:
        runner.close()
