"""El banco de la difusión funciona: mide Plaza y el bucle de la teoría, y da una tabla con todo entregado."""

import re
import subprocess
import sys

import pytest

from taller.catalog import ROOT

BENCH_SECONDS = 100


@pytest.mark.timeout(BENCH_SECONDS + 10)
def test_the_short_bench_measures_and_every_message_arrives() -> None:
    command = [sys.executable, "bench/difusion.py", "--corto"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCH_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {
        cells[1].strip(): cells[2:] for cells in (line.split("|") for line in done.stdout.splitlines() if "|" in line)
    }
    for name in ("Plaza", "bucle de la teoría"):
        deliveries, arrived, p50, p99 = (number(cell) for cell in rows[name][:4])
        assert arrived == 100
        assert 500 < deliveries < 1100
        assert 0 < p50 <= p99


def number(cell: str) -> float:
    found = re.match(r"[\d\u00a0]+(,\d+)?", cell.strip())
    assert found, cell
    return float(found[0].replace("\u00a0", "").replace(",", "."))
