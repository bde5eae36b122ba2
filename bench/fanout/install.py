"""Los rivales se instalan en `.taller/bench/`: no son dependencias del curso."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from taller.catalog import ROOT

CACHE = ROOT / ".taller" / "bench"
PYTHON_PACKAGES = ("python-socketio==5.18.1", "channels==4.3.2", "uvicorn[standard]==0.54.0")
NODE_PACKAGES = ("ws@8.23.0", "socket.io@4.8.4")
INSTALL_SECONDS = 180


class Missing(Exception):
    """No se puede medir, y por qué."""


def python_with_rivals() -> str:
    """El intérprete de un entorno con los rivales de Python. Missing si no se puede instalar."""
    folder = CACHE / "python"
    wanted, done = "\n".join(PYTHON_PACKAGES), folder / "instalado"
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (done.exists() and done.read_text("utf-8") == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, str(folder)])
        _run([sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(interpreter), *PYTHON_PACKAGES])
        done.write_text(wanted, "utf-8")
    return str(interpreter)


def node_with_rivals() -> tuple[str, dict[str, str]]:
    """El programa de Node y el entorno con el que encuentra a sus rivales. Missing si no se puede instalar."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("no hay Node en este equipo")
    folder = CACHE / "node"
    wanted, done = "\n".join(NODE_PACKAGES), folder / "instalado"
    if not (done.exists() and done.read_text("utf-8") == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", *NODE_PACKAGES])
        done.write_text(wanted, "utf-8")
    return node, {"NODE_PATH": str(folder / "node_modules")}


def _run(command: list[str]) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        # Fuera del curso: `uv` no debe tomar su configuración ni su entorno.
        subprocess.run(command, cwd=CACHE, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        raise Missing(f"no se ha podido instalar con «{Path(command[0]).name} {' '.join(command[1:4])}…»") from error
