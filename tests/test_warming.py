"""Lo que se hace antes de que haya nada que comprobar, y la puerta que dice cuánto se comprueba a la vez."""

import asyncio
import subprocess
import sys

import pytest

from taller.catalog import ROOT
from taller.grading import gate
from taller.grading.gate import Gate

pytestmark = pytest.mark.anyio

# `warm_up` calla si no llega: aquí se hace el viaje a pelo, y lo que falle se ve.
TRAVEL = """
import asyncio, sys
from {package} import first_trip
from taller.runner.first_trip import travel
asyncio.run(travel(first_trip._speak))
print("pydantic.v1" in sys.modules)
"""


@pytest.mark.parametrize("package", ["taller.runner", "taller.wire"])
def test_the_first_trip_gets_there(package: str) -> None:
    command = [sys.executable, "-W", "error", "-c", TRAVEL.format(package=package)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(("free", "inside"), [(1.0, 3), (0.0, 1)])
async def test_a_full_machine_checks_one_at_a_time(free: float, inside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def spare() -> float:
        await asyncio.sleep(0)
        return free

    monkeypatch.setattr(gate, "spare", spare)
    assert await most_inside(Gate(3)) == inside


async def most_inside(door: Gate) -> int:
    """Cuántos de cinco que quieren entrar llegan a coincidir dentro."""
    now = most = 0

    async def enter() -> None:
        nonlocal now, most
        async with door.turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.05)
            now -= 1

    await asyncio.gather(*(enter() for _ in range(5)))
    return most
