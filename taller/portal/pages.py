"""Las páginas: portada, lección, ejercicio y comparación con la solución."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException

from taller.catalog import CatalogError, Exercise, Lesson, find_exercise, find_lesson
from taller.portal.comparison import compare
from taller.portal.ledger import Ledger
from taller.portal.live import Live
from taller.portal.markdown import Page, render_lesson, render_statement
from taller.portal.outline import outline
from taller.skeleton import SkeletonError, is_edited

IMAGES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")
# Un SVG lleva sus propios estilos; ni él ni nada de esas carpetas ejecuta código.
IMAGE_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}

templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def create_router(root: Path, live: Live, ledger: Ledger) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    def show(request: Request, name: str, **context: Any) -> Response:
        course = outline(root, ledger.read())
        return templates.TemplateResponse(request, name, {"course": course, "root": root, **context})

    @router.get("/")
    def home(request: Request) -> Response:
        return show(request, "home.html")

    @router.get("/leccion/{slug}")
    def lesson_page(request: Request, slug: str) -> Response:
        lesson = _lesson(slug, root)
        return show(
            request,
            "lesson.html",
            lesson=lesson,
            reading=_reading(lesson),
            panels=[_panel(exercise, live) for exercise in lesson.exercises],
        )

    @router.get("/leccion/{slug}/{exercise_id}")
    def exercise_page(request: Request, slug: str, exercise_id: str) -> Response:
        exercise = _exercise(slug, exercise_id, root)
        panel = _panel(exercise, live)
        return show(request, "exercise.html", lesson=exercise.lesson, exercise=exercise, panel=panel)

    @router.get("/leccion/{slug}/{exercise_id}/solucion")
    def solution_page(request: Request, slug: str, exercise_id: str) -> Response:
        exercise = _exercise(slug, exercise_id, root)
        record = ledger.read().of(exercise.id)
        allowed = record.passed_at is not None or record.solution_seen
        rows = compare(exercise) if allowed else []
        return show(request, "solution.html", lesson=exercise.lesson, exercise=exercise, record=record, rows=rows)

    @router.get("/files/{slug}/{path:path}")
    def lesson_file(slug: str, path: str) -> Response:
        """Las imágenes de una lección, y nada más."""
        folder = _lesson(slug, root).folder.resolve()
        file = (folder / path).resolve()
        if not file.is_relative_to(folder) or file.suffix not in IMAGES or not file.is_file():
            raise HTTPException(404, f"La lección no tiene la imagen «{path}».")
        return FileResponse(file, headers=IMAGE_POLICY)

    return router


def _lesson(slug: str, root: Path) -> Lesson:
    try:
        return find_lesson(slug, root)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error


def _exercise(slug: str, exercise_id: str, root: Path) -> Exercise:
    try:
        exercise = find_exercise(exercise_id, root)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error
    if exercise.lesson != _lesson(slug, root):
        raise HTTPException(404, f"El ejercicio {exercise.id} es de otra lección: {exercise.lesson.slug}.")
    return exercise


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
