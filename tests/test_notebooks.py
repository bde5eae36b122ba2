"""Los cuadernos: se ejecutan enteros, y lo que se guardó de ellos se puede leer y proyectar tal cual."""

import asyncio
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from taller.anchors import anchors
from taller.catalog import ROOT, find_lesson
from taller.patience import patience

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEADLINE = 120.0
FORMAT = 4
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|Users|tmp|var|usr|opt|private|mnt|work)/|\b[A-Z]:\\\w", re.ASCII)
FOREIGN_URL = re.compile(r"\b(?:https?|wss?)://(?!127\.0\.0\.1\b|localhost\b|example\.com\b)[^\s\"'<>]+")
# Su salida no depende de la máquina ni del reloj, y la prosa de al lado la da por cierta.
FACT = "same-every-time"
LINK = re.compile(r"\]\((\.\./[^)#]+)(?:#([^)]+))?\)")

read: Callable[[Path, int], NotebookNode] = nbformat.read


class ThisPython(AsyncKernelManager):
    """Un núcleo con el mismo Python que las pruebas, haya los que haya instalados en la máquina."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(output: NotebookNode) -> Iterator[str]:
    """Lo que una salida enseña como texto; las imágenes no cuentan."""
    yield output.get("text", "")
    yield from (str(data) for kind, data in output.get("data", {}).items() if kind.startswith("text/"))


def facts(notebook: NotebookNode) -> dict[str, str]:
    """Lo que imprime cada celda cuyo resultado debe ser siempre el mismo."""
    found = [cell for cell in code_cells(notebook) if FACT in cell.metadata.get("tags", [])]
    return {cell.id: "".join(text for output in cell.outputs for text in texts(output)) for cell in found}


def plots(notebook: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def problems(notebook: NotebookNode) -> list[str]:
    """Lo que ninguna salida debe tener: errores, avisos o rastros de la máquina en que se ejecutó."""
    found = [f"{out.ename}: {out.evalue}" for out in outputs(notebook) if out.output_type == "error"]
    found += [out.text for out in outputs(notebook) if out.get("name") == "stderr"]
    for text in (text for output in outputs(notebook) for text in texts(output)):
        found += [match[0] for pattern in (MACHINE_PATH, FOREIGN_URL) for match in pattern.finditer(text)]
        found += re.findall(rf"\b{re.escape(socket.gethostname())}\b", text)
    return found


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS, "no hay ningún cuaderno en notebooks/"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return read(path, FORMAT)


def test_belongs_to_a_lesson_and_is_well_formed(path: Path, notebook: NotebookNode) -> None:
    assert find_lesson(path.stem).notebook == path
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_is_saved_executed_from_top_to_bottom(notebook: NotebookNode) -> None:
    silent = [cell.id for cell in code_cells(notebook) if not cell.outputs and prints_something(cell.source)]
    assert silent == []
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert problems(notebook) == []
    assert plots(notebook) >= 2
    assert facts(notebook), f"etiqueta con «{FACT}» las celdas cuya salida da por cierta la prosa"
    assert all(facts(notebook).values())


def prints_something(source: str) -> bool:
    return "print(" in source or "plt.show(" in source


def test_has_no_server_of_its_own(notebook: NotebookNode) -> None:
    servers = ("FastAPI(", "uvicorn.run(", "start_server(", ".listen(")
    assert [(cell.id, word) for cell in code_cells(notebook) for word in servers if word in cell.source] == []


def test_its_links_lead_somewhere(path: Path, notebook: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = LINK.findall(prose)
    assert links
    broken = [f"{file}#{anchor}" for file, anchor in links if not reachable(path.parent / file, anchor)]
    assert broken == []


def reachable(file: Path, anchor: str) -> bool:
    return file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))


@pytest.mark.timeout(patience(DEADLINE) + 30)
def test_runs_again_without_errors(path: Path, notebook: NotebookNode, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path))
    again = execute(copy)
    assert problems(again) == []
    assert facts(again) == facts(notebook)
    assert plots(again) == plots(notebook)
    assert [bool(cell.outputs) for cell in code_cells(again)] == [bool(cell.outputs) for cell in code_cells(notebook)]


def execute(path: Path) -> NotebookNode:
    notebook = read(path, FORMAT)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(notebook, kernel_manager_class=ThisPython, resources=where(path.parent))
    return asyncio.run(asyncio.wait_for(client.async_execute(), patience(DEADLINE)))


def where(folder: Path) -> dict[str, Any]:
    return {"metadata": {"path": str(folder)}}
