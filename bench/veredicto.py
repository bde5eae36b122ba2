"""De guardar al veredicto: lo que espera un estudiante con el portal abierto.

    .venv/bin/python bench/veredicto.py [veces]

Guarda 2.1 muchas veces (bien y mal, por turnos) en una copia del curso servida por el portal, y mide desde justo antes
de escribir el archivo hasta que el veredicto completo llega por el flujo SSE que pinta la página. Al lado, en la misma
ejecución, lo que tarda `python -c "import fastapi, uvicorn"`, y una comprobación desde el terminal en frío.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from taller.catalog import ROOT

EXERCISE = Path("02_websockets") / "e1_eco.py"
COPIED = ("taller", "lessons", "exercises", "solutions", "checks", "docs", "pyproject.toml")


@contextmanager
def portal(root: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "taller", "--sin-navegador"]
    env = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            yield found[0].rstrip("/")
        finally:
            process.terminate()


def verdicts(url: str) -> Iterator[dict[str, object]]:
    """Los veredictos completos de 2.1, según llegan a la página."""
    query = {"lesson": "02_websockets", "exercise": "2.1"}
    with (
        httpx.Client(timeout=30) as client,
        client.stream("GET", f"{url}/api/events", params=query) as response,
    ):
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name in ("finished", "snapshot"):
                yield {"event": name, **json.loads(line.removeprefix("data: "))}


def save_to_verdict(root: Path, times: int) -> list[float]:
    right = (root / "solutions" / EXERCISE).read_text(encoding="utf-8")
    wrong = right.replace("self.count += 1", "self.count += 2")
    target, seconds = root / "exercises" / EXERCISE, []
    with portal(root) as url:
        stream = verdicts(url)
        next(stream)
        for turn in range(times + 3):
            time.sleep(0.4)  # quien edita tarda más que esto en volver a guardar
            started = time.perf_counter()
            target.write_text(wrong if turn % 2 else right, encoding="utf-8")
            next(verdict for verdict in stream if verdict["event"] == "finished")
            if turn >= 3:
                seconds.append(time.perf_counter() - started)
    return seconds


def timed(*command: str, cwd: Path = ROOT) -> float:
    started = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "curso"
        for part in COPIED:
            ignore = shutil.ignore_patterns("__pycache__")
            source = ROOT / part
            shutil.copytree(source, root / part, ignore=ignore) if source.is_dir() else shutil.copy(source, root / part)
        seconds = sorted(save_to_verdict(root, times))
        cold = [timed("-m", "taller", "comprobar", "2.1", "--de", "soluciones", cwd=root) for _ in range(5)]
    bare = statistics.median(timed("-c", "import fastapi, uvicorn") for _ in range(5))
    median, p95 = statistics.median(seconds), seconds[int(0.95 * (len(seconds) - 1))]
    print(f"guardar → veredicto, {times} veces   mediana {median * 1000:.0f} ms   p95 {p95 * 1000:.0f} ms")
    print(f"python -c 'import fastapi, uvicorn'  mediana {bare * 1000:.0f} ms   (razón {median / bare:.2f})")
    print(f"taller comprobar 2.1, en frío        mediana {statistics.median(cold) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
