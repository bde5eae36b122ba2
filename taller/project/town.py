"""La instalación: Valkey, PostgreSQL, el buzón, los procesos web de Plaza tras un mismo puerto, y su obrero.

async with open_town(Plan(processes=2)) as town:
    town.url                    # http://127.0.0.1:8080
    await town.watch(print)     # sin fin: lo que muere, arranca otra vez
"""

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from taller.patience import patience
from taller.project.member import Member, Program, dismiss, keep_alive, program
from taller.project.plan import Plan, ProjectError
from taller.services import Mailbox, Postgres, Valkey, inbox_page, postgres, smtp, valkey
from taller.services.places import LOOPBACK, scratch_directory

MIGRATE = ("plaza.migrations",)
WORK = ("taskiq", "worker", "plaza.tasks:broker", "--workers", "1", "--log-level", "WARNING")
MIGRATE_SECONDS, READY_SECONDS, FAREWELL_SECONDS = 60.0, 30.0, 3.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Town:
    """La instalación en marcha. `inbox_url` es None si el correo va a SMTP_URL."""

    url: str
    inbox_url: str | None
    logs: Path
    servers: Sequence[Valkey | Postgres]
    programs: Sequence[Program]
    metrics: Path

    async def watch(self, report: Callable[[str], None]) -> None:
        """Mantiene todo en marcha; `report` recibe lo que va pasando. No vuelve."""
        mine: Iterable[Member] = [*(server for server in self.servers if server.ours), *self.programs]
        async with asyncio.TaskGroup() as group:
            for member in mine:
                group.create_task(keep_alive(member, report, self.forget_the_dead))

    def forget_the_dead(self) -> None:
        """Las conexiones que decía tener abiertas un proceso muerto ya no lo están: fuera de `/metrics`."""
        psutil = importlib.import_module("psutil")
        for path in self.metrics.glob("gauge_live*_*.db"):
            if not psutil.pid_exists(int(path.stem.rpartition("_")[2])):
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Surroundings:
    """Lo que hay antes de que arranque Plaza."""

    servers: tuple[Valkey, Postgres]
    mailbox: Mailbox
    inbox_url: str | None


@asynccontextmanager
async def _surroundings(plan: Plan) -> AsyncIterator[_Surroundings]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(valkey(plan.folder_for("valkey")))
        database = await stack.enter_async_context(postgres(plan.folder_for("postgres")))
        mailbox = await stack.enter_async_context(smtp())
        page = await stack.enter_async_context(inbox_page(mailbox)) if mailbox.readable else None
        yield _Surroundings((redis, database), mailbox, page)


@asynccontextmanager
async def open_town(plan: Plan) -> AsyncIterator[Town]:
    """La instalación, atendiendo ya; al salir no queda nada de ella, salvo los datos si se guardan.

    Raises:
        ProjectError: el puerto está ocupado, no hay Plaza en esa carpeta o no arranca.
        ServiceError: no arranca uno de sus servidores.
    """
    async with AsyncExitStack() as stack:
        code, listener = plan.code(), stack.enter_context(plan.listen())
        around = await stack.enter_async_context(_surroundings(plan))
        secret, kept = plan.secret(), plan.logs()
        # El guarda del obrero es el dueño de la carpeta pasajera: es el último en irse.
        scratch = scratch_directory()
        logs, env = kept or scratch, _environment(secret, code, around, scratch)
        worker = await stack.enter_async_context(program("obrero", WORK, logs, env, scratch=scratch))
        await _migrate(plan, logs, env)
        programs = [*await _webs(stack, plan, listener.fileno(), logs, env), worker]
        stack.push_async_callback(dismiss, programs, FAREWELL_SECONDS)
        for each in programs:
            await each.start()
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        await _until_ready(plan, url, programs)
        yield Town(url, around.inbox_url, logs, around.servers, programs, scratch)


async def _webs(stack: AsyncExitStack, plan: Plan, listener: int, logs: Path, env: dict[str, str]) -> list[Program]:
    """Los procesos web, aún parados, con el socket que comparten."""
    serve = ("taller.project.web", str(listener))
    names = [f"web-{number}" for number in range(1, plan.processes + 1)]
    return [await stack.enter_async_context(program(name, serve, logs, env, inherited=[listener])) for name in names]


def _environment(secret: str, code: Path, around: _Surroundings, metrics: Path) -> dict[str, str]:
    redis, database = around.servers
    return {
        "PLAZA_SECRET": secret,
        **os.environ,
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database.url,
        "REDIS_URL": redis.url,
        "SMTP_URL": around.mailbox.url,
        # Con ella, `/metrics` suma lo de todos los procesos, conteste el que conteste.
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }


async def _migrate(plan: Plan, logs: Path, env: dict[str, str]) -> None:
    async with program("migraciones", MIGRATE, logs, env) as migrations:
        await migrations.start()
        with contextlib.suppress(TimeoutError):
            if await migrations.process.exited(patience(MIGRATE_SECONDS)) == 0:
                return
        raise _failure(plan, migrations)


async def _until_ready(plan: Plan, url: str, programs: Sequence[Program]) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=2.0) as http:
        try:
            async with asyncio.timeout(patience(READY_SECONDS)):
                while not await _ready(http):
                    if fallen := [each for each in programs if not each.process.running]:
                        raise _failure(plan, fallen[0])
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ProjectError(
                f"Plaza no está lista a los {READY_SECONDS:g} s: alguno de sus servidores no le contesta. "
                f"Repite con más paciencia: TALLER_PACIENCIA=3 {plan.command}"
            ) from None


async def _ready(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/health/ready")).status_code == 200
    return False


def _failure(plan: Plan, who: Program) -> ProjectError:
    more = f" Más, en {who.log}." if plan.data else ""
    return ProjectError(
        f"Plaza no arranca: {who.name} dice «{who.last_words}».{more} Corrígelo y repite: {plan.command}"
    )
