"""Lo que la página enseña de cada ejercicio, en la forma en que viaja al navegador."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from taller.catalog import Exercise
from taller.progress import Record
from taller.verdicts import ExerciseVerdict

State = Literal["idle", "running", "passed", "failed", "problem", "missing"]


@dataclass
class Card:
    """Un ejercicio en pantalla: su estado, sus controles y cuántas pistas de cada uno se han abierto."""

    exercise: Exercise
    state: State = "idle"
    checks: dict[int, dict[str, Any]] = field(default_factory=dict)
    problem: str = ""
    duration_s: float = 0.0
    hints_opened: dict[int, int] = field(default_factory=dict)

    def collect(self, checks: list[dict[str, Any]]) -> None:
        """Los controles que van a ejecutarse, todos pendientes."""
        self.checks = {check["number"]: {**check, "status": "pending"} for check in checks}

    def settle(self, verdict: ExerciseVerdict) -> None:
        self.problem, self.duration_s = verdict.problem, verdict.duration_s
        self.state = "problem" if verdict.problem else "passed" if verdict.passed else "failed"

    def open_hint(self, number: int) -> bool:
        """Abre la pista siguiente de un control fallido; False si no queda ninguna."""
        opened = self.hints_opened.get(number, 0)
        check = self.checks.get(number, {})
        if check.get("status") != "failed" or opened >= len(check.get("hints", ())):
            return False
        self.hints_opened[number] = opened + 1
        return True

    def check_json(self, number: int) -> dict[str, Any]:
        """Un control, con las pistas abiertas y sin las demás: no se desvelan hasta que se piden."""
        check = self.checks[number]
        hints = check.get("hints", [])
        opened = self.hints_opened.get(number, 0)
        return {**check, "hints": hints[:opened], "hints_left": max(0, len(hints) - opened)}

    def summary_json(self, record: Record) -> dict[str, Any]:
        passed = sum(check["status"] == "passed" for check in self.checks.values())
        return {
            "id": self.exercise.id,
            "state": self.state,
            "passed": passed,
            "total": len(self.checks),
            "problem": self.problem,
            "duration_s": round(self.duration_s, 4),
            "record": asdict(record),
        }

    def to_json(self, record: Record) -> dict[str, Any]:
        return {**self.summary_json(record), "checks": [self.check_json(number) for number in self.checks]}
