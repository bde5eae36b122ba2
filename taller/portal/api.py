"""Lo que la página pide sin recargarse: el flujo de sucesos y las acciones."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from sse_starlette import EventSourceResponse, ServerSentEvent

from taller.catalog import CatalogError, Exercise, Lesson, find_exercise, find_lesson
from taller.portal.demos import Demos
from taller.portal.hub import Hub, as_event
from taller.portal.ledger import Ledger
from taller.portal.live import Live
from taller.progress import Progress
from taller.skeleton import SkeletonError, reset

BACKUPS = Path(".taller") / "copias"


def create_router(root: Path, live: Live, demos: Demos, hub: Hub, ledger: Ledger) -> APIRouter:
    router = APIRouter(prefix="/api")

    def exercise_of(exercise_id: str) -> Exercise:
        try:
            return find_exercise(exercise_id, root)
        except CatalogError as error:
            raise HTTPException(404, str(error)) from error

    def lesson_of(slug: str) -> Lesson:
        try:
            return find_lesson(slug, root)
        except CatalogError as error:
            raise HTTPException(404, str(error)) from error

    ExerciseDep = Annotated[Exercise, Depends(exercise_of)]
    LessonDep = Annotated[Lesson, Depends(lesson_of)]

    @router.get("/events")
    async def events(lesson: str = "", exercise: str = "") -> EventSourceResponse:
        """Una foto del estado al conectarse y luego cada cambio; `exercise` es el que se tiene delante."""
        if exercise:
            live.prepare(exercise_of(exercise))
        return EventSourceResponse(stream(lesson), ping=15)

    async def stream(lesson: str) -> AsyncIterator[ServerSentEvent]:
        with hub.connected(lesson, lambda: as_event("snapshot", live.snapshot(lesson))) as tab:
            async for event in tab.events():
                yield ServerSentEvent(event.data, event=event.name)

    @router.post("/exercises/{exercise_id}/check", status_code=202)
    async def check(exercise: ExerciseDep) -> None:
        live.check(exercise)

    @router.post("/exercises/{exercise_id}/checks/{number}/hints", status_code=204)
    async def open_hint(exercise: ExerciseDep, number: int) -> None:
        if not live.open_hint(exercise, number):
            raise HTTPException(
                409, "Ese control no tiene más pistas ahora. Guarda el archivo o pulsa «Comprobar ahora»."
            )

    @router.post("/exercises/{exercise_id}/reset")
    async def reset_exercise(exercise: ExerciseDep) -> dict[str, str]:
        """Devuelve el archivo a su punto de partida; `backup` dice dónde queda lo que había."""
        try:
            backup = reset(exercise, root / BACKUPS)
        except (SkeletonError, OSError) as error:
            command = f"python3 curso.py reiniciar {exercise.id}"
            raise HTTPException(500, f"No se pudo reiniciar: {error}. Prueba con: {command}") from error
        return {"backup": backup.relative_to(root).as_posix() if backup else ""}

    @router.post("/exercises/{exercise_id}/solution", status_code=204)
    async def give_up(exercise: ExerciseDep) -> None:
        """Abre la solución sin haber superado el ejercicio, y lo apunta."""

        def note(progress: Progress) -> None:
            progress.of(exercise.id).solution_seen = True

        ledger.update(note)

    @router.post("/demos/{slug}")
    async def start_demo(lesson: LessonDep) -> dict[str, Any]:
        if not lesson.written:
            raise HTTPException(404, f"La lección {lesson.number} aún no tiene mini-app. Vuelve a la portada: /")
        return (await demos.start(lesson)).to_json()

    @router.get("/demos/{slug}")
    async def demo(lesson: LessonDep) -> dict[str, Any]:
        return demos.of(lesson).to_json()

    @router.delete("/demos/{slug}", status_code=204)
    async def stop_demo(lesson: LessonDep) -> None:
        await demos.stop(lesson)

    return router
