"""Difundir a 500: lo que cuesta que lo que dice uno lo lean todos, en Plaza y en otros.

    .venv/bin/python bench/difusion.py [--corto] [--sin-rivales] [--salida bench/difusion.md]

El servidor va en un núcleo; el cliente, PostgreSQL y Valkey, en otro. Cada cifra sale de un servidor recién arrancado y
del mismo cliente. Los rivales se instalan la primera vez en `.taller/bench/`. Con la máquina ocupada no vale.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fanout.client import Load, Outcome
from fanout.idle import stream_kib, websocket_kib
from fanout.install import Missing
from fanout.plaza_side import PATIENT, PlazaSide, plaza_side
from fanout.servers import CLIENT_CORE, RIVAL_CONTENDERS, Contender, Server, pinned, serving
from fanout.table import OUTCOME_HEADERS, READING, cost, decimal, machine, milliseconds, outcome_cells, table, thousands

CLIENT = Path(__file__).parent / "fanout" / "client.py"
CLIENT_SECONDS = 300
ONE, TWO, RIVALS = "Plaza", "Plaza, dos procesos", [contender.name for contender in RIVAL_CONTENDERS]
STALL_RATE = 200


@dataclass(frozen=True)
class Size:
    connections: int
    rates: tuple[int, ...]
    warmup: float
    seconds: float
    # Cuántas veces se mide con uno atascado y sin él; 0, ninguna.
    stalls: int
    # Cuántas conexiones se abren para pesarlas; 0, ninguna.
    idle: int
    processes: tuple[int, ...] = (1, 2)


FULL = Size(connections=500, rates=(100, 200, 400), warmup=2.0, seconds=8.0, stalls=3, idle=500)
SHORT = Size(connections=20, rates=(50,), warmup=0.2, seconds=1.0, stalls=0, idle=0, processes=(1,))
Outcomes = dict[tuple[str, int], Outcome]


def measure(load: Load, servers: list[Server], size: Size, rate: int) -> Outcome:
    """Lo que cuenta el cliente, en su proceso y su núcleo. Missing si el servidor no aguanta ni la entrada."""
    pids = [server.process.pid for server in servers]
    load = replace(load, rate=rate, warmup=size.warmup, seconds=size.seconds, pids=pids)
    with pinned(CLIENT_CORE):
        command = [sys.executable, str(CLIENT)]
        question = json.dumps(asdict(load))
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    if done.returncode:
        raise Missing(done.stderr.strip().splitlines()[-1])
    return Outcome(**json.loads(done.stdout))


async def measure_plaza(side: PlazaSide, processes: int, size: Size, rate: int) -> Outcome:
    with side.serving(processes) as servers:
        return measure(await side.load(servers, size.connections), servers, size, rate)


def measure_rival(contender: Contender, size: Size, rate: int) -> Outcome:
    with serving(contender) as server:
        return measure(contender.load(server.port, size.connections), [server], size, rate)


async def compare(side: PlazaSide, size: Size, rivals: list[Contender]) -> tuple[Outcomes, dict[str, str]]:
    """Cada servidor a cada ritmo; y por qué no se ha podido medir el que no."""
    outcomes: Outcomes = {}
    missing: dict[str, str] = {}
    for rate in size.rates:
        for processes in size.processes:
            name = ONE if processes == 1 else TWO
            outcomes[name, rate] = await measure_plaza(side, processes, size, rate)
            say(name, rate, outcomes[name, rate])
        for contender in rivals:
            if contender.name in missing:
                continue
            try:
                outcomes[contender.name, rate] = measure_rival(contender, size, rate)
                say(contender.name, rate, outcomes[contender.name, rate])
            except Missing as reason:
                missing[contender.name] = f"{reason} (a {rate} mensajes/s)"
    return outcomes, missing


def say(name: str, rate: int, outcome: Outcome) -> None:
    """Lo que se ve mientras se mide."""
    cells = zip(OUTCOME_HEADERS, outcome_cells(outcome), strict=True)
    closed = f" · cerradas {outcome.closed}" if outcome.closed else ""
    print(f"{name}, {rate}/s: " + " · ".join(f"{header} {cell}" for header, cell in cells) + closed, file=sys.stderr)


async def with_a_stalled_client(side: PlazaSide, size: Size) -> tuple[list[float], list[float]]:
    """Los p99 sin nadie atascado y con uno, por turnos."""
    p99s: tuple[list[float], list[float]] = ([], [])
    for turn in range(2 * size.stalls):
        stalled = (turn + turn // 2) % 2
        with side.serving(1, **PATIENT) as servers:
            load = await side.load(servers, size.connections, stalled)
            outcome = measure(load, servers, size, STALL_RATE)
        say("con uno atascado" if stalled else "sin atascos", STALL_RATE, outcome)
        p99s[stalled].append(outcome.p99 or float("inf"))
    return p99s


async def memory(side: PlazaSide, size: Size) -> dict[str, float]:
    """KiB por conexión ociosa, en un proceso recién arrancado para cada clase."""
    with side.serving() as servers:
        warm, load = await side.load(servers, 50), await side.load(servers, size.idle)
        kib = {"WebSocket": await websocket_kib(servers[0].process.pid, warm, load)}
    for path in ("/events/notifications", "/events/dashboard"):
        with side.serving() as servers:
            paths = [f"{path}?ticket={ticket}" for ticket in await side.tickets(size.idle + 50)]
            pid, port = servers[0].process.pid, servers[0].port
            kib[f"SSE {path}"] = await stream_kib(pid, port, paths[:50], paths[50:])
    return kib


def comparison(size: Size, outcomes: Outcomes, missing: dict[str, str]) -> Iterator[str]:
    for rate in size.rates:
        names = [name for name in (ONE, TWO, *RIVALS) if (name, rate) in outcomes]
        wanted = thousands(rate * size.connections)
        yield f"**{size.connections} conexiones, {rate} mensajes/s** (todo son {wanted} entregas/s)\n"
        yield table(["", *OUTCOME_HEADERS], [[name, *outcome_cells(outcomes[name, rate])] for name in names]) + "\n"
    for name, reason in missing.items():
        yield f"Sin medir: {name}, {reason}.\n"


Goal = tuple[str, str, bool]


def goals(size: Size, outcomes: Outcomes) -> Iterator[Goal]:
    for rate, limit in ((200, 0.06), (400, 0.2)):
        if (outcome := outcomes.get((ONE, rate))) is not None:
            p99 = outcome.p99 or float("inf")
            yield f"p99 a {rate} mensajes/s ≤ {limit * 1000:.0f} ms", f"{milliseconds(outcome.p99)} ms", p99 <= limit
            missed = outcome.missing == 0 and outcome.delivered >= 0.98 * outcome.expected
            yield f"a {rate} mensajes/s, entregado todo", f"faltan {outcome.missing}", missed
    for rate in size.rates if (TWO, size.rates[0]) in outcomes else ():
        kept = cost(outcomes[ONE, rate]) / cost(outcomes[TWO, rate])
        yield f"entregas por segundo de CPU de dos procesos, a {rate}/s ≥ 80 %", f"{kept:.0%}", kept >= 0.8


def stall_goal(without: list[float], beside: list[float]) -> Goal:
    before, after = statistics.median(without), statistics.median(beside)
    figures = f"{milliseconds(after)} ms frente a {milliseconds(before)} ms, {decimal(after / before, 2)} ×"
    return f"p99 con uno atascado, a {STALL_RATE} mensajes/s ≤ 1,2 ×", figures, after <= 1.2 * before


def memory_goals(kib: dict[str, float]) -> Iterator[Goal]:
    for kind, each in kib.items():
        limit = 35 if kind == "WebSocket" else 45
        yield f"memoria por {kind} en reposo ≤ {limit} KiB", f"{decimal(each)} KiB", each <= limit


async def report(size: Size, rivals: list[Contender]) -> str:
    started, where = time.monotonic(), machine()
    async with plaza_side() as side:
        outcomes, missing = await compare(side, size, rivals)
        met = list(goals(size, outcomes))
        if size.stalls:
            met.append(stall_goal(*await with_a_stalled_client(side, size)))
        if size.idle:
            met += memory_goals(await memory(side, size))
    rows = [[goal, figure, "sí" if well else "no"] for goal, figure, well in met]
    return "\n".join(
        [
            f"`{' '.join(['.venv/bin/python', 'bench/difusion.py', *sys.argv[1:]])}`: {where};",
            f"{(time.monotonic() - started) / 60:.0f} min.\n",
            *comparison(size, outcomes, missing),
            READING,
            table(["lo prometido", "medido", "se cumple"], rows) if rows else "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Difundir a 500, en Plaza y en otros.")
    parser.add_argument("--corto", action="store_true", help="unos segundos: para ver que funciona, no para creérselo")
    parser.add_argument("--sin-rivales", action="store_true", help="solo Plaza")
    parser.add_argument("--salida", type=Path, help="además, guarda la tabla en este archivo")
    options = parser.parse_args()
    rivals = [] if options.sin_rivales else RIVAL_CONTENDERS[:1] if options.corto else RIVAL_CONTENDERS
    text = asyncio.run(report(SHORT if options.corto else FULL, rivals))
    print(text)
    if options.salida:
        options.salida.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
