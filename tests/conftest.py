"""Lo que comparten las pruebas: un navegador de verdad y una copia del curso que se puede estropear."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from taller.catalog import ROOT, exercises
from taller.skeleton import reset

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

CourseCopy = Callable[[Path], Path]


# Por módulo y no por sesión: mientras vive, Playwright ocupa el bucle de eventos que usan las pruebas con anyio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None and os.environ.get("TALLER_SIN_NAVEGADOR") == "1":
        pytest.skip("no hay navegador y TALLER_SIN_NAVEGADOR=1 lo permite")
    if path is None:
        pytest.fail("No hay ningún navegador. Instala chromium, o sáltate estas pruebas con TALLER_SIN_NAVEGADOR=1")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(BROWSER_FLAGS))
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
            reset(exercise, root / ".taller" / "copias")
        return root

    return copy
