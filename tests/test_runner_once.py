"""Un módulo que se ejecuta y acaba: lo que en un proyecto prepara la base de datos."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from taller.checking import Launch
from taller.runner import LaunchError, Runner

pytestmark = pytest.mark.anyio


@pytest.fixture
def launch(runner: Runner, tmp_path: Path) -> Callable[[str], Launch]:
    """Un ejercicio cuyo paquete trae ese `plaza/prepare.py`."""

    def build(source: str) -> Launch:
        (tmp_path / "plaza").mkdir()
        (tmp_path / "plaza" / "__init__.py").touch()
        (tmp_path / "plaza" / "prepare.py").write_text(textwrap.dedent(source))
        (tmp_path / "e1_chat.py").touch()
        return Launch(runner, tmp_path, "e1_chat", {"PLACE": str(tmp_path / "made")})

    return build


async def test_it_runs_as_a_program_in_its_folder_and_ends(launch: Callable[[str], Launch], tmp_path: Path) -> None:
    source = """
        import os, pathlib
        if __name__ == "__main__":
            pathlib.Path(os.environ["PLACE"]).write_text(os.getcwd())
    """
    await launch(source).once("plaza.prepare")
    assert (tmp_path / "made").read_text() == str(tmp_path)


async def test_what_fails_says_where(launch: Callable[[str], Launch]) -> None:
    with pytest.raises(
        LaunchError, match=r"python -m plaza\.prepare falla: ValueError: no vale \(prepare\.py, línea 2\)"
    ):
        await launch("\nraise ValueError('no vale')").once("plaza.prepare")


async def test_it_may_say_that_it_failed_by_its_exit_code(launch: Callable[[str], Launch]) -> None:
    with pytest.raises(LaunchError, match="terminó con el código 3"):
        await launch("raise SystemExit(3)").once("plaza.prepare")


async def test_a_module_that_is_not_there(launch: Callable[[str], Launch]) -> None:
    with pytest.raises(LaunchError, match="falla: "):
        await launch("").once("plaza.other")
