"""Pone Plaza en marcha hasta Ctrl+C o SIGTERM, y dice dónde está."""

import asyncio
import time
from collections.abc import Callable

from taller.project.demo_data import PASSWORD, PEOPLE
from taller.project.plan import Plan, ProjectError, require_system
from taller.project.seed import seed
from taller.project.town import Town, open_town
from taller.services import stop_event

Report = Callable[[str], None]


async def serve_project(plan: Plan, report: Report, demo: bool = False) -> None:
    """`report` recibe cada línea que hay que enseñar.

    Raises:
        ProjectError, ServiceError, CatalogError: no se puede poner en marcha.
    """
    require_system()
    with stop_event() as stopped:
        running, stopping = asyncio.create_task(_run(plan, report, demo)), asyncio.create_task(stopped.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        try:
            await running
        except asyncio.CancelledError:
            report("Plaza se ha cerrado.")


async def _run(plan: Plan, report: Report, demo: bool) -> None:
    started = time.monotonic()
    async with open_town(plan) as town:
        seconds = f"{time.monotonic() - started:.1f}".replace(".", ",")
        report(f"Plaza está en {town.url}/  (lista en {seconds} s; Ctrl+C para terminar)")
        _introduce(town, report)
        if demo:
            await _settle(town, report)
        await town.watch(report)


def _introduce(town: Town, report: Report) -> None:
    if town.inbox_url:
        report(f"El correo que manda, en {town.inbox_url}/")
    report(f"Métricas en {town.url}/metrics; registros en {town.logs}")


async def _settle(town: Town, report: Report) -> None:
    try:
        await seed(town.url)
    except ProjectError as error:
        report(str(error))
    else:
        report(f"Entra como {', '.join(PEOPLE[:-1])} o {PEOPLE[-1]}; la contraseña es {PASSWORD}")
