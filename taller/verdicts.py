"""El veredicto de un ejercicio: lo que se esperaba, lo que llegó, la pista y la transcripción.

Es el único formato de resultados: el terminal, el portal, `--json` y los informes leen estos objetos.
Los tiempos van en segundos.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1

Status = Literal["passed", "failed", "skipped", "unstable"]


@dataclass(frozen=True)
class Entry:
    """Una línea de la transcripción: `t` segundos desde que empezó el control, quién, a quién y qué."""

    t: float
    source: str
    target: str
    kind: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return {
            "t": round(self.t, 4),
            "from": self.source,
            "to": self.target,
            "kind": self.kind,
            "text": self.text,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Entry":
        return cls(data["t"], data["from"], data["to"], data["kind"], data["text"])


@dataclass(frozen=True)
class CheckVerdict:
    """El resultado de un control. `max_points` es lo que vale; `points`, lo que se ha ganado.

    `misconceptions` explica a quien ha fallado lo que seguramente ha entendido mal, si se reconoce.
    """

    number: int
    name: str
    title: str
    status: Status
    max_points: int
    todo: int | None = None
    expected: str = ""
    received: str = ""
    hints: list[str] = field(default_factory=list)
    misconceptions: list[str] = field(default_factory=list)
    section: str = ""
    duration_s: float = 0.0
    transcript: list[Entry] = field(default_factory=list)

    @property
    def points(self) -> int:
        return self.max_points if self.status == "passed" else 0

    @property
    def hint(self) -> str:
        """La primera pista, la que menos desvela, si el control ha fallado."""
        return self.hints[0] if self.hints and self.status == "failed" else ""

    def to_json(self) -> dict[str, Any]:
        fields = {name: value for name, value in asdict(self).items() if name != "transcript"}
        transcript = [entry.to_json() for entry in self.transcript]
        return {**fields, "points": self.points, "hint": self.hint, "transcript": transcript}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CheckVerdict":
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "transcript": [Entry.from_json(entry) for entry in data["transcript"]]})


@dataclass(frozen=True)
class ExerciseVerdict:
    """El resultado de un ejercicio; `problem` explica por qué no se pudo comprobar, si fue el caso."""

    id: str
    title: str
    checks: list[CheckVerdict]
    duration_s: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and bool(self.checks) and all(check.status == "passed" for check in self.checks)

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)

    @property
    def max_points(self) -> int:
        return sum(check.max_points for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "passed": self.passed,
            "points": self.points,
            "max_points": self.max_points,
            "duration_s": round(self.duration_s, 4),
            "problem": self.problem,
            "checks": [check.to_json() for check in self.checks],
        }


def report(verdicts: list[ExerciseVerdict]) -> dict[str, Any]:
    """El objeto que imprime `taller comprobar --json`."""
    return {"schema": SCHEMA, "exercises": [verdict.to_json() for verdict in verdicts]}
