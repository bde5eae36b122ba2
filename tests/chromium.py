"""El navegador de las pruebas: dónde está y con qué opciones arranca."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find_chromium() -> str:
    """Su ruta. Sin él la prueba falla, salvo que TALLER_SIN_NAVEGADOR=1 permita saltársela."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and os.environ.get("TALLER_SIN_NAVEGADOR") == "1":
        pytest.skip("no hay navegador y TALLER_SIN_NAVEGADOR=1 lo permite")
    if path is None:
        pytest.fail("No hay ningún navegador. Instala chromium, o sáltate estas pruebas con TALLER_SIN_NAVEGADOR=1")
    return path
