"""Lo que la página pide sin recargarse: el flujo de sucesos y las acciones."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from taller.catalog import CatalogError
from taller.fresh_start import NothingToUndo, reset, restore, undo
from taller.livecoding import find_step, go_to, live_folder
from taller.portal.hub import as_event
from taller.portal.pieces import ExerciseDep, LessonDep, Pieces, PiecesDep, exercise_of
from taller.progress import Progress
from taller.sequence import sequence_svg
from taller.skeleton import SkeletonError
from taller.verdicts import Entry

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


@router.get("/exercises/{exercise_id}/checks/{number}/sequence")
async def check_sequence(exercise: ExerciseDep, number: int, pieces: PiecesDep, room: int = 760) -> Response:
    """El diagrama de lo que pasó en un control; `room`, el ancho que hay en la página, en píxeles."""
    check = pieces.live.card(exercise).checks.get(number, {})
    entries = [Entry.from_json(entry) for entry in check.get("transcript", ())]
    if not entries:
        raise HTTPException(404, "Ese control no tiene nada que contar ahora.")
    return Response(sequence_svg(entries, room), media_type="image/svg+xml")


@router.post("/exercises/{exercise_id}/reset")
async def reset_exercise(exercise: ExerciseDep, pieces: PiecesDep) -> dict[str, str]:
    """Devuelve el ejercicio a su punto de partida; `backup` dice dónde queda lo que había."""
    try:
        kept = reset(exercise)
    except (SkeletonError, OSError) as error:
        command = f"python3 curso.py reiniciar {exercise.id}"
        raise HTTPException(500, f"No se pudo reiniciar: {error}. Prueba con: {command}") from error
    return {"backup": kept.relative_to(pieces.root).as_posix() if kept else ""}


@router.post("/exercises/{exercise_id}/restore", status_code=204)
async def restore_exercise(exercise: ExerciseDep) -> None:
    """Trae de vuelta lo que falte, y no toca lo demás."""
    try:
        restore(exercise)
    except (SkeletonError, OSError) as error:
        command = f"python3 curso.py reiniciar {exercise.id}"
        raise HTTPException(500, f"No se pudo restaurar: {error}. Prueba con: {command}") from error


@router.delete("/exercises/{exercise_id}/reset", status_code=204)
async def undo_reset(exercise: ExerciseDep) -> None:
    """Recupera lo que había antes de empezar de nuevo."""
    try:
        undo(exercise)
    except NothingToUndo as error:
        raise HTTPException(409, str(error)) from error


@router.post("/exercises/{exercise_id}/solution", status_code=204)
async def give_up(exercise: ExerciseDep, pieces: PiecesDep) -> None:
    """Abre la solución sin haber superado el ejercicio, y lo apunta."""

    def note(progress: Progress) -> None:
        progress.of(exercise.id).solution_seen = True

    pieces.ledger.update(note)


@router.post("/lessons/{slug}/steps/{number}")
async def go_to_step(lesson: LessonDep, number: int, pieces: PiecesDep) -> dict[str, str]:
    """Pone ese paso en la copia de trabajo de quien programa en directo; `backup` dice dónde queda lo que había."""
    try:
        step = find_step(lesson, number)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error
    backup = go_to(step, live_folder(lesson))
    return {"backup": backup.relative_to(pieces.root).as_posix() if backup else ""}


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


@router.get("/services")
async def services(pieces: PiecesDep) -> dict[str, Any]:
    return pieces.desk.to_json()


@router.post("/services")
async def start_services(pieces: PiecesDep) -> dict[str, Any]:
    await pieces.desk.start()
    return pieces.desk.to_json()


@router.delete("/services")
async def stop_services(pieces: PiecesDep) -> dict[str, Any]:
    await pieces.desk.stop()
    return pieces.desk.to_json()
