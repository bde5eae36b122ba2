"""A quien cae en una confusión conocida, aunque la escriba a su manera, se le dice cuál es."""

import asyncio

import pytest

from taller.catalog import find_exercise
from taller.checker import Checker
from taller.explain import failure_text
from taller.misconceptions import common, symptom
from taller.verdicts import CheckVerdict

SHARED = "Lo que se crea fuera de la función existe una sola vez para todas las conexiones."
# Ni el nombre ni la forma son los de la variante: el error sí.
SHARED_BY_ACCIDENT = """
from fastapi import FastAPI, WebSocket

app = FastAPI()
TOTALS = {"echoes": 0}


@app.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_json():
        TOTALS["echoes"] += 1
        await websocket.send_json({"type": "echo", "text": message.get("text"), "count": TOTALS["echoes"]})
"""


def failed(expected: str, received: str) -> CheckVerdict:
    return CheckVerdict(1, "test_x", "Algo", "failed", 1, expected=expected, received=received)


def test_numbers_and_random_texts_are_not_part_of_a_symptom() -> None:
    one = symptom(failed('{"text": "hola", "count": 3}', "nada en 1.5 s"))
    other = symptom(failed('{"text": "adiós", "count": 12}', "nada en 2 s"))
    assert common([one, other]) == '{"text": "◊", "count": ◊} | nada en ◊ s'


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CheckVerdict]:
    """Los controles de 2.1 sobre un contador compartido escrito a su manera, con una semilla cualquiera."""
    folder = tmp_path_factory.mktemp("entrega")
    exercise = find_exercise("2.1")
    file = folder / exercise.relative
    file.parent.mkdir()
    file.write_text(SHARED_BY_ACCIDENT, encoding="utf-8")
    with Checker.start(thorough=False) as checker:
        verdict = asyncio.run(checker.check(exercise, folder))
    return {check.name: check for check in verdict.checks}


def test_a_known_misconception_is_named(checks: dict[str, CheckVerdict]) -> None:
    check = checks["test_own_count"]
    assert check.misconceptions == [SHARED]
    assert f"Puede ser    {SHARED}" in failure_text(check)


def test_what_passes_or_is_not_known_names_nothing(checks: dict[str, CheckVerdict]) -> None:
    assert checks["test_echo"].status == "passed"
    assert not any(check.misconceptions for check in checks.values() if check.status != "failed")


def test_it_travels_in_the_verdict(checks: dict[str, CheckVerdict]) -> None:
    check = checks["test_own_count"]
    assert CheckVerdict.from_json(check.to_json()).misconceptions == [SHARED]
