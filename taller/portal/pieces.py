"""Las piezas del portal y lo que nombra una dirección, a mano de las rutas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from taller.catalog import CatalogError, Exercise, Lesson, find_exercise, find_lesson
from taller.portal.demos import Demos
from taller.portal.desk import Desk
from taller.portal.hub import Hub
from taller.portal.ledger import Ledger
from taller.portal.live import Live


@dataclass(frozen=True)
class Pieces:
    root: Path
    hub: Hub
    ledger: Ledger
    live: Live
    demos: Demos
    desk: Desk


def pieces_of(request: Request) -> Pieces:
    pieces: Pieces = request.app.state.pieces
    return pieces


PiecesDep = Annotated[Pieces, Depends(pieces_of)]


def lesson_of(slug: str, pieces: PiecesDep) -> Lesson:
    try:
        return find_lesson(slug, pieces.root)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error


def exercise_of(exercise_id: str, pieces: PiecesDep) -> Exercise:
    try:
        return find_exercise(exercise_id, pieces.root)
    except CatalogError as error:
        raise HTTPException(404, str(error)) from error


LessonDep = Annotated[Lesson, Depends(lesson_of)]
ExerciseDep = Annotated[Exercise, Depends(exercise_of)]


def exercise_in_lesson(lesson: LessonDep, exercise: ExerciseDep) -> Exercise:
    if exercise.lesson != lesson:
        raise HTTPException(404, f"El ejercicio {exercise.id} es de otra lección: {exercise.lesson.slug}.")
    return exercise


ExerciseInLessonDep = Annotated[Exercise, Depends(exercise_in_lesson)]
