"""Lo que sale de calificar una clase. Es también `resultados.json`: lo único que leen los informes.

Los textos que vienen de una entrega (nombres, salida, lo recibido) son de quien la escribió: quien los enseñe los
tiene que tratar como datos. Las fechas llevan zona horaria y las duraciones van en segundos.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from taller.verdicts import CheckVerdict, ExerciseVerdict

SCHEMA = 1


@dataclass(frozen=True)
class Late:
    """Un retraso respecto de la fecha límite de una lección, y la parte de sus puntos que quita (de 0 a 1)."""

    lesson: int
    deadline: datetime
    submitted_at: datetime
    penalty: float

    def to_json(self) -> dict[str, Any]:
        return {
            "lesson": self.lesson,
            "deadline": self.deadline.isoformat(),
            "submitted_at": self.submitted_at.isoformat(),
            "penalty": self.penalty,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Late":
        dates = {name: datetime.fromisoformat(data[name]) for name in ("deadline", "submitted_at")}
        return cls(lesson=data["lesson"], penalty=data["penalty"], **dates)


@dataclass(frozen=True)
class Grade:
    """Una entrega calificada.

    `key` la identifica dentro de la clase (el nombre de su carpeta o de su zip). `digest` es la huella de lo que se ha
    calificado: entrega, controles y semilla; con la misma huella sale la misma nota. `problem` dice por qué no se ha
    podido calificar, si es el caso. `files` es lo que se ha mirado de la entrega, por su ruta dentro de `exercises/`.
    """

    key: str
    student: str
    digest: str
    exercises: list[ExerciseVerdict]
    duration_s: float
    problem: str = ""
    submitted_at: datetime | None = None
    late: list[Late] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def raw_points(self) -> int:
        """Los puntos ganados, antes de descontar retrasos."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)

    @property
    def points(self) -> float:
        """Los puntos, descontados los retrasos, con dos decimales."""
        return round(sum(self.points_in(exercise) for exercise in self.exercises), 2)

    def points_in(self, exercise: ExerciseVerdict) -> float:
        lesson = int(exercise.id.partition(".")[0])
        return exercise.points * (1 - sum(late.penalty for late in self.late if late.lesson == lesson))

    @property
    def unstable(self) -> bool:
        """Si algún control se contradijo al repetirlo: hay que mirarlo a mano."""
        return any(check.status == "unstable" for exercise in self.exercises for check in exercise.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "student": self.student,
            "digest": self.digest,
            "points": self.points,
            "raw_points": self.raw_points,
            "max_points": self.max_points,
            "duration_s": round(self.duration_s, 4),
            "problem": self.problem,
            "submitted_at": self.submitted_at.isoformat() if self.submitted_at else None,
            "late": [late.to_json() for late in self.late],
            "files": self.files,
            "exercises": [exercise.to_json() for exercise in self.exercises],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Grade":
        submitted_at = data["submitted_at"]
        return cls(
            key=data["key"],
            student=data["student"],
            digest=data["digest"],
            exercises=[exercise_from_json(exercise) for exercise in data["exercises"]],
            duration_s=data["duration_s"],
            problem=data["problem"],
            submitted_at=datetime.fromisoformat(submitted_at) if submitted_at else None,
            late=[Late.from_json(late) for late in data["late"]],
            files=data["files"],
        )


@dataclass(frozen=True)
class ClassResults:
    """La clase entera, con las entregas por orden de nombre."""

    course: str
    seed: str
    graded_at: datetime
    grades: list[Grade]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "course": self.course,
            "seed": self.seed,
            "graded_at": self.graded_at.isoformat(),
            "grades": [grade.to_json() for grade in self.grades],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ClassResults":
        return cls(
            course=data["course"],
            seed=data["seed"],
            graded_at=datetime.fromisoformat(data["graded_at"]),
            grades=[Grade.from_json(grade) for grade in data["grades"]],
        )


def exercise_from_json(data: dict[str, Any]) -> ExerciseVerdict:
    checks = [CheckVerdict.from_json(check) for check in data["checks"]]
    return ExerciseVerdict(data["id"], data["title"], checks, data["duration_s"], data["problem"])
