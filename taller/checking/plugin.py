"""El plugin de pytest de los controles: dependencias entre controles y veredictos.

Se usa igual desde `taller comprobar` que con `pytest checks/02_websockets --de soluciones`.
"""

import os
import secrets
from collections.abc import Generator
from typing import Any

import pytest

from taller.catalog import ROOT, CatalogError
from taller.checking.check import CheckInfo
from taller.checking.keys import FAILED, ON_VERDICT, PASSED, RUNNER
from taller.explain import failure_text
from taller.runner import LaunchError, Runner
from taller.verdicts import CheckVerdict, Status
from taller.wire import Mismatch, transcript

# Pytest busca aquí sus fixtures.
pytest_plugins = ("taller.checking.fixtures",)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("taller")
    group.addoption("--de", default="ejercicios", help="ejercicios, soluciones o una carpeta (ejercicios)")
    group.addoption("--solo", default=None, help="el nombre de un control: solo él y los que necesita")
    group.addoption("--semilla", default=None, help="semilla de los datos al azar (una nueva cada vez)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FAILED] = {}
    config.stash[PASSED] = set()
    if config.option.semilla is None:
        config.option.semilla = secrets.token_hex(4)


def pytest_report_header(config: pytest.Config) -> str:
    return f"controles sobre {config.option.de}, semilla {config.option.semilla}"


# Las pistas de un control no sirven de nada si no ha llegado a hablar con la app.
START_FIRST = "Arregla primero lo que impide que la app arranque: los controles aún no han podido hablar con ella."


def info_of(item: pytest.Item) -> CheckInfo | None:
    return getattr(getattr(item, "function", None), "check", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Con `--solo`, deja ese control y aquellos sin los que no dice nada."""
    if config.option.solo is None:
        return
    infos = {info.name: info for item in items if (info := info_of(item))}
    wanted, following = set[str](), [config.option.solo]
    while following:
        name = following.pop()
        if name in infos and name not in wanted:
            wanted.add(name)
            following += infos[name].needs
    items[:] = [item for item in items if (info := info_of(item)) and info.name in wanted]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    failed = item.config.stash[FAILED]
    info = info_of(item)
    if info is None:
        return
    if "launch" in failed:
        pytest.skip(failed["launch"])
    for name in info.needs:
        if name in failed:
            pytest.skip(f"Antes hay que superar el control {failed[name]}.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    info = info_of(item)
    if info is None or report.when == "teardown" or (report.when == "setup" and report.passed):
        return report
    # Si ya ha pasado algún control, la app arranca: la que no, es otra que este pide con otros ajustes.
    error = call.excinfo.value if call.excinfo else None
    never = isinstance(error, LaunchError) and not item.config.stash[PASSED]
    verdict = _verdict(info, report, call, never)
    if verdict.status == "passed":
        item.config.stash[PASSED].add(info.name)
    else:
        failed = item.config.stash[FAILED]
        failed[info.name] = str(info.number)
        if never:
            failed.setdefault("launch", "La app no arranca: mira el primer control.")
    if verdict.status == "failed":
        report.longrepr = failure_text(verdict)
    if ON_VERDICT in item.config.stash:
        item.config.stash[ON_VERDICT](verdict)
    return report


def _verdict(
    info: CheckInfo, report: pytest.TestReport, call: pytest.CallInfo[None], not_started: bool
) -> CheckVerdict:
    status: Status = "passed" if report.passed else "skipped" if report.skipped else "failed"
    expected, received = _explain(call.excinfo.value) if call.excinfo else ("", "")
    return CheckVerdict(
        number=info.number,
        name=info.name,
        title=info.title,
        status=status,
        max_points=info.points,
        todo=info.todo,
        expected=expected,
        received=received,
        hints=[START_FIRST] if not_started else list(info.hints),
        section=info.section,
        duration_s=round(report.duration, 4),
        transcript=list(transcript.entries) if status != "skipped" else [],
    )


def _explain(error: BaseException) -> tuple[str, str]:
    match error:
        case Mismatch():
            return error.expected, error.received
        case LaunchError():
            return "una app que arranca y atiende conexiones", str(error)
        case CatalogError():
            return "una carpeta con ejercicios", str(error)
        case pytest.skip.Exception():
            return "", str(error)
        case _:
            return (
                "que el control no falle por dentro",
                f"{type(error).__name__}: {error} (es un fallo del curso)",
            )


class SessionHooks:
    """Lo que quiere saber quien ejecuta una sesión desde dentro de su proceso; por defecto, nada."""

    runner: Runner | None = None

    def on_collected(self, checks: list[dict[str, Any]]) -> None:
        """Se han recogido los controles: `{"number", "name", "title", "points", "todo", "section"}` de cada uno."""

    def on_verdict(self, verdict: CheckVerdict) -> None:
        """Un control ha terminado."""


# Lo que se cuenta de un control antes de ejecutarlo.
TOLD = ("number", "name", "title", "points", "todo", "section")


def told(items: list[pytest.Item]) -> list[dict[str, Any]]:
    infos = [info for item in items if (info := info_of(item))]
    return [{name: getattr(info, name) for name in TOLD} for info in infos]


class Wiring:
    """Une una sesión de pytest con sus `SessionHooks`."""

    def __init__(self, hooks: SessionHooks) -> None:
        self.hooks = hooks

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[ON_VERDICT] = self.hooks.on_verdict
        if self.hooks.runner is not None:
            config.stash[RUNNER] = self.hooks.runner

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.hooks.on_collected(told(session.items))


# Los complementos que aquí no hacen falta; los dos últimos pasarían el recolector de basura al terminar.
WITHOUT = ("cacheprovider", "junitxml", "pastebin", "doctest", "unraisableexception", "threadexception")


def run_pytest(arguments: list[str], hooks: SessionHooks) -> int:
    """Ejecuta pytest en este proceso y devuelve su código de salida."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for foreign in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):  # son para las pruebas de otros; aquí solo pueden estorbar
        os.environ.pop(foreign, None)
    disabled = [option for name in WITHOUT for option in ("-p", f"no:{name}")]
    config = ["-c", str(ROOT / "checks" / "pytest.ini")]
    return int(pytest.main([*config, *disabled, *arguments], plugins=[Wiring(hooks)]))
