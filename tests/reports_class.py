"""Una clase inventada para las pruebas de los informes, con alguien que ataca en su nombre y en su salida."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from taller.grading.results import ClassResults, Grade, Late
from taller.verdicts import CheckVerdict, Entry, ExerciseVerdict, Status

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOLUTION = "return {'type': 'echo', 'text': text}  # la última pista"
SCRIPT = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
HOSTILE = f"\x1b[2J\x1b]0;pwned\x07{SCRIPT}</style></title>\u202etxt.exe\u2066\x00\r{{{{7*7}}}} &amp; ]]>"
NAMES = [
    "Ana López",
    "Bruno Díaz",
    "Chloé O'Brien",
    "Дарья Ким",
    "Eva Núñez",
    "Félix Ibáñez Ruiz-Gallardón de la Torre y Montalvo",
    "Gael Ríos",
    "ندى حداد",
    "Iker Etxeberria",
    "Julia Peña",
]
FORMULAS = ["=HYPERLINK(0)", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1"]
EXERCISES = {"2.1": "Eco con protocolo", "2.2": "El apretón de manos", "3.1": "Correo en segundo plano", "10.1": "Chat"}


def transcript(steps: int, text: str = '{"type": "echo", "text": "hola"}') -> list[Entry]:
    entries = [Entry(0.0, "cliente 1", "app", "ws", "abre un WebSocket en /ws")]
    for step in range(1, steps):
        pair = ("cliente 1", "app") if step % 2 else ("app", "cliente 1")
        entries.append(Entry(step * 0.0123, *pair, "ws", text))
    return [*entries, Entry(steps * 0.0123, "app", "app", "log", "INFO: conexión abierta")]


def check(number: int, status: Status, received: str = "", steps: int = 4) -> CheckVerdict:
    failed = status in ("failed", "unstable")
    return CheckVerdict(
        number=number,
        name="test_echo" if number == 1 else f"test_{number}",
        title=f"Contesta a lo que pide el control {number}",
        status=status,
        max_points=number,
        todo=number,
        expected='{"type": "echo", "text": "hola", "count": 1}' if failed else "",
        received=received or ('{"type": "echo", "text": "hola", "count": 2}' if failed else ""),
        hints=["Mira message['type'].", SOLUTION] if failed else [],
        section="un-protocolo-encima-de-los-textos",
        duration_s=0.05,
        transcript=transcript(steps, received or "hola") if failed else [],
    )


def exercise(id_: str, statuses: list[Status], received: str = "") -> ExerciseVerdict:
    checks = [check(number, status, received) for number, status in enumerate(statuses, 1)]
    return ExerciseVerdict(id_, EXERCISES.get(id_, "Otro"), checks, 0.3)


def grade(key: str, student: str, statuses: list[Status] | None = None, received: str = "") -> Grade:
    """Una entrega en la que todos los ejercicios han salido igual."""
    exercises = [exercise(id_, statuses or ["passed", "passed", "failed"], received) for id_ in EXERCISES]
    return Grade(key, student, "huella", exercises, 1.5, submitted_at=NOON)


def class_of(*grades: Grade) -> ClassResults:
    return ClassResults("Taller de APIs en tiempo real", "semilla-7", NOON + timedelta(days=2), list(grades))


def whole_class() -> ClassResults:
    """Gente que sabe más y menos, y al final quien ataca los informes."""
    rng = random.Random(7)
    grades = [_honest(rng, index, name) for index, name in enumerate(NAMES)]
    late = [Late(2, NOON, NOON + timedelta(days=1, hours=3), 0.25)]
    grades.append(Grade("tarde", "Karla Vidal", "h", _exercises(rng, 0.9), 1.2, submitted_at=NOON, late=late))
    grades.append(Grade("rota", "Luis Mora", "h", [], 0.1, problem="La entrega no es un zip que se pueda abrir."))
    grades.append(grade("inestable", "Marta Gil", ["passed", "unstable", "failed"]))
    return class_of(*grades, hostile())


def hostile() -> Grade:
    found = grade(f"../{HOSTILE}", HOSTILE, ["failed", "failed", "skipped"], HOSTILE)
    exercises = [replace(one, problem=HOSTILE) for one in found.exercises]
    return Grade(found.key, found.student, "h", exercises, 1.0, files={HOSTILE: "x = 1\n" * 99})


def _honest(rng: random.Random, index: int, name: str) -> Grade:
    return Grade(f"{name}_{1000 + index}_assignsubmission_file", name, "h", _exercises(rng, 0.3 + index * 0.07), 1.4)


def _exercises(rng: random.Random, skill: float) -> list[ExerciseVerdict]:
    words: dict[bool, Status] = {True: "passed", False: "failed"}
    return [exercise(id_, [words[rng.random() < skill] for _ in range(3)]) for id_ in EXERCISES]
