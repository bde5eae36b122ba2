"""Lo que la página pide sin recargarse: el flujo de sucesos y las acciones."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from sse_starlette import EventSourceResponse, ServerSentEvent

from taller.portal.hub import as_event
from taller.portal.pieces import ExerciseDep, LessonDep, Pieces, PiecesDep, exercise_of
from taller.progress import Progress
from taller.skeleton import SkeletonError, reset

BACKUPS = Path(".taller") / "copias"

router = APIRouter(prefix="/api")


@router.get("/events")
async def events(pieces: PiecesDep, lesson: str = "", exercise: str = "") -> EventSourceResponse:
    """Una foto del estado al conectarse y luego cada cambio; `exercise` es el que se tiene delante."""
    if exercise:
        pieces.live.prepare(exercise_of(exercise, pieces))
    return EventSourceResponse(_stream(pieces, lesson), ping=15)


async def _stream(pieces: Pieces, lesson: str) -> AsyncIterator[ServerSentEvent]:
    with pieces.hub.connected(lesson, lambda: as_event("snapshot", pieces.live.snapshot(lesson))) as tab:
        async for event in tab.events():
            yield ServerSentEvent(event.data, event=event.name)


@router.post("/exercises/{exercise_id}/check", status_code=202)
async def check(exercise: ExerciseDep, pieces: PiecesDep) -> None:
    pieces.live.check(exercise)


@router.post("/exercises/{exercise_id}/checks/{number}/hints", status_code=204)
async def open_hint(exercise: ExerciseDep, number: int, pieces: PiecesDep) -> None:
    if not pieces.live.open_hint(exercise, number):
        raise HTTPException(409, "Ese control no tiene más pistas ahora. Guarda el archivo o pulsa «Comprobar ahora».")


@router.post("/exercises/{exercise_id}/reset")
async def reset_exercise(exercise: ExerciseDep, pieces: PiecesDep) -> dict[str, str]:
    """Devuelve el archivo a su punto de partida; `backup` dice dónde queda lo que había."""
    try:
        backup = reset(exercise, pieces.root / BACKUPS)
    except (SkeletonError, OSError) as error:
        command = f"python3 curso.py reiniciar {exercise.id}"
        raise HTTPException(500, f"No se pudo reiniciar: {error}. Prueba con: {command}") from error
    return {"backup": backup.relative_to(pieces.root).as_posix() if backup else ""}


@router.post("/exercises/{exercise_id}/solution", status_code=204)
async def give_up(exercise: ExerciseDep, pieces: PiecesDep) -> None:
    """Abre la solución sin haber superado el ejercicio, y lo apunta."""

    def note(progress: Progress) -> None:
        progress.of(exercise.id).solution_seen = True

    pieces.ledger.update(note)


@router.post("/demos/{slug}")
async def start_demo(lesson: LessonDep, pieces: PiecesDep) -> dict[str, Any]:
    if not lesson.written:
        raise HTTPException(404, f"La lección {lesson.number} aún no tiene mini-app. Vuelve a la portada: /")
    return (await pieces.demos.start(lesson)).to_json()


@router.get("/demos/{slug}")
async def demo(lesson: LessonDep, pieces: PiecesDep) -> dict[str, Any]:
    return pieces.demos.of(lesson).to_json()


@router.delete("/demos/{slug}", status_code=204)
async def stop_demo(lesson: LessonDep, pieces: PiecesDep) -> None:
    await pieces.demos.stop(lesson)
