"""Avisa de cada ejercicio que se guarda, sea cual sea el editor."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import Change, awatch

from taller.catalog import Exercise
from taller.skeleton import sources

# Un editor puede escribir varias veces al guardar: se espera a que pasen unos milisegundos sin cambios.
STEP_MS = 5


def saved(exercises: Iterable[Exercise], folder: Path) -> AsyncIterator[list[Exercise]]:
    """Los ejercicios que acaban de cambiar en `folder`, cada vez que cambia alguno."""
    files = [({(folder / path).resolve() for path in sources(exercise)}, exercise) for exercise in exercises]
    return _saved(files, folder)


async def _saved(files: list[tuple[set[Path], Exercise]], folder: Path) -> AsyncIterator[list[Exercise]]:
    async for changes in awatch(
        folder,
        watch_filter=lambda change, path: change != Change.deleted and path.endswith(".py"),
        step=STEP_MS,
        rust_timeout=1000,
        yield_on_timeout=False,
        raise_interrupt=False,
    ):
        touched = _paths(changes)
        if changed := [exercise for paths, exercise in files if paths & touched]:
            yield changed


def _paths(changes: Iterable[tuple[Change, str]]) -> set[Path]:
    return {Path(path).resolve() for _, path in changes}
