"""Las páginas: portada, lección, ejercicio, comparación con la solución y servicios."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException

from taller.catalog import CatalogError, Exercise, Lesson
from taller.livecoding import Step, find_step, steps
from taller.portal.comparison import changed_lines, compare
from taller.portal.live import Live
from taller.portal.markdown import Page, render_lesson, render_line, render_statement
from taller.portal.outline import outline
from taller.portal.pieces import ExerciseInLessonDep, LessonDep, Pieces, PiecesDep
from taller.skeleton import SkeletonError, is_edited

IMAGES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")
# Un SVG lleva sus propios estilos; ni él ni nada de esas carpetas ejecuta código.
IMAGE_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}

templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


# Corrutinas y no funciones: así el progreso solo se toca desde un hilo.
router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request, pieces: PiecesDep) -> Response:
    return _show(request, pieces, "home.html")


@router.get("/leccion/{slug}")
async def lesson_page(request: Request, lesson: LessonDep, pieces: PiecesDep) -> Response:
    panels = [_panel(exercise, pieces.live) for exercise in lesson.exercises]
    has_steps = (lesson.folder / "pasos").is_dir()
    return _show(
        request, pieces, "lesson.html", lesson=lesson, reading=_reading(lesson), panels=panels, has_steps=has_steps
    )


@router.get("/leccion/{slug}/vivo")
async def live_page(request: Request, lesson: LessonDep, pieces: PiecesDep, paso: int = 1) -> Response:
    """Un paso para proyectar: qué decir, qué cambia y cómo se va de tiempo."""
    try:
        known, step = steps(lesson), find_step(lesson, paso)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error
    return _show(request, pieces, "live.html", lesson=lesson, step=step, steps=known, **_around(step, known))


def _around(step: Step, known: list[Step]) -> dict[str, Any]:
    """El paso entre los demás; `planned` son los minutos previstos hasta acabarlo."""
    place = known.index(step)
    previous = known[place - 1] if place else None
    return {
        "previous": previous,
        "following": next(iter(known[place + 1 :]), None),
        "planned": sum(each.minutes for each in known[: place + 1]),
        "notes": {label: render_line(step.notes[label]) for label in ("Di", "Enseña") if label in step.notes},
        "changes": changed_lines(step.changes_since(previous)),
    }


@router.get("/leccion/{slug}/{exercise_id}")
async def exercise_page(request: Request, exercise: ExerciseInLessonDep, pieces: PiecesDep) -> Response:
    panel = _panel(exercise, pieces.live)
    return _show(request, pieces, "exercise.html", lesson=exercise.lesson, exercise=exercise, panel=panel)


@router.get("/leccion/{slug}/{exercise_id}/solucion")
async def solution_page(request: Request, exercise: ExerciseInLessonDep, pieces: PiecesDep) -> Response:
    record = pieces.ledger.read().of(exercise.id)
    allowed = record.passed_at is not None or record.solution_seen
    files = compare(exercise) if allowed else {}
    return _show(request, pieces, "solution.html", lesson=exercise.lesson, exercise=exercise, files=files)


@router.get("/servicios")
async def services_page(request: Request, pieces: PiecesDep) -> Response:
    return _show(request, pieces, "services.html")


@router.get("/files/{slug}/{path:path}")
def lesson_file(lesson: LessonDep, path: str) -> Response:
    """Las imágenes de una lección, y nada más."""
    folder = lesson.folder.resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder) or file.suffix not in IMAGES or not file.is_file():
        raise HTTPException(404, f"La lección no tiene la imagen «{path}».")
    return FileResponse(file, headers=IMAGE_POLICY)


def _show(request: Request, pieces: Pieces, name: str, **context: Any) -> Response:
    course = outline(pieces.root, pieces.ledger.read())
    return templates.TemplateResponse(request, name, {"course": course, **context})


def _reading(lesson: Lesson) -> Page | None:
    if not lesson.readme.exists():
        return None
    return render_lesson(lesson.readme.read_text(encoding="utf-8"), lesson)


def _panel(exercise: Exercise, live: Live) -> dict[str, Any]:
    """Un ejercicio para la plantilla; `check_now`, si hay trabajo del que aún no se sabe el veredicto."""
    statement = exercise.statement.partition("\n")[2]
    try:
        edited = is_edited(exercise)
    except SkeletonError:
        edited = exercise.student_file.exists()
    return {
        "exercise": exercise,
        "statement": render_statement(statement),
        "file": exercise.student_file.relative_to(exercise.lesson.root).as_posix(),
        "check_now": edited and live.card(exercise).state == "idle",
    }


async def not_found(request: Request, error: Exception) -> Response:
    """Lo que no existe, dicho en la forma de quien lo pidió: página o JSON."""
    detail = error.detail if isinstance(error, HTTPException) else ""
    detail = "Esa dirección no está en el curso." if detail in ("", "Not Found") else detail
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": detail}, 404)
    return templates.TemplateResponse(request, "not_found.html", {"detail": detail}, 404)
