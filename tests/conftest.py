"""Lo que comparten las pruebas: un navegador de verdad y una copia del curso que se puede estropear."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import FLAGS, find_chromium
from playwright.sync_api import Browser, sync_playwright
from xdist.scheduler import LoadScopeScheduling

from taller.catalog import ROOT, exercises
from taller.fresh_start import reset
from taller.runner import Runner, start_runner

# Largas, y no comparten nada con las de su archivo: quien reparte solo ve los nombres.
APART = (
    "::test_an_exercise_is_solid[",
    "::test_runs_again_without_errors[",
    "test_bench_difusion.py::",
)


class FilesWhole(LoadScopeScheduling):
    """Reparte cada archivo entero a un proceso, porque sus pruebas comparten servidores; las largas, sueltas."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if any(name in nodeid for name in APART) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesWhole:
    # xdist_group no sirve: xdist 3.8 escribe el grupo en un nombre que pytest 9.2 ya no lee.
    return FilesWhole(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Las largas, antes: al final dejarían un proceso trabajando y los demás mirando."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in APART))


CourseCopy = Callable[[Path], Path]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["fork", "fresh"])
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[Runner]:
    """El ejecutor de las dos maneras: por `fork`, y con un proceso nuevo donde no lo hay."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "fresh":
            patch.setenv("TALLER_SIN_FORK", "1")
        runner = start_runner()
        runner.backend.wait_warm()
        yield runner
        runner.close()


# Por módulo y no por sesión: mientras vive, Playwright ocupa el bucle de eventos que usan las pruebas con anyio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def course_copy() -> CourseCopy:
    """Copia en una carpeta la lección 02, con sus ejercicios sin empezar, y una lección 03 por escribir."""

    def copy(folder: Path) -> Path:
        root = folder / "curso"
        for name in ("lessons/common", "lessons/02_websockets", "solutions/02_websockets", "checks/02_websockets"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        (root / "lessons" / "03_tareas").mkdir()
        for exercise in exercises(root):
            reset(exercise)
        return root

    return copy
