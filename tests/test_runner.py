"""El ejecutor: por `fork` o en un proceso nuevo, las mismas promesas."""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from taller.catalog import ROOT
from taller.runner import Exit, LaunchError, Run, Runner, start_runner

pytestmark = pytest.mark.anyio

APP = """
    import asyncio, os, sys
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/")
    async def root(request: Request):
        print("atendida", request.client.host)
        return {"pid": os.getpid(), "limit": os.environ.get("LIMIT"), "cwd": os.getcwd()}

    @app.get("/slow")
    async def slow():
        print("empieza")
        await asyncio.sleep(0.3)
        return "terminada"

    @app.get("/flood")
    async def flood():
        for _ in range(100):
            print("ñ" * 10_000)
        return "inundada"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "e1.py").write_text(textwrap.dedent(APP))
    return tmp_path


async def get(run: Run, path: str = "/") -> httpx.Response:
    assert run.address is not None
    transport = httpx.AsyncHTTPTransport(uds=run.address.path or None)
    async with httpx.AsyncClient(transport=transport, base_url=run.address.http, timeout=10) as client:
        return await client.get(path)


async def test_serves_the_app_with_its_environment_and_folder(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app", env={"LIMIT": "7"})).ready(20)
    answer = (await get(run)).json()
    assert answer["limit"] == "7"
    assert Path(answer["cwd"]).samefile(folder)
    await run.close()


async def test_the_callers_environment_does_not_leak(
    runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "secreto")
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    assert (await get(run)).json()["limit"] is None
    await run.close()


async def test_a_new_run_sees_the_new_file(runner: Runner, folder: Path) -> None:
    for word in ("uno", "dos"):
        source = f"from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef root(): return '{word}'\n"
        (folder / "e1.py").write_text(source)
        run = await (await runner.launch(folder, "e1:app")).ready(20)
        assert (await get(run)).json() == word
        await run.close()


async def test_two_workers_are_two_processes(runner: Runner, folder: Path) -> None:
    runs = [await (await runner.launch(folder, "e1:app")).ready(20) for _ in range(2)]
    first, second = [(await get(run)).json()["pid"] for run in runs]
    assert first != second
    for run in runs:
        await run.close()


async def test_sigterm_lets_a_request_finish_and_ends_with_0(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    slow = asyncio.create_task(get(run, "/slow"))
    async with asyncio.timeout(5):
        while "empieza" not in await run.sync():
            await asyncio.sleep(0.005)
    run.signal(signal.SIGTERM)
    assert (await slow).json() == "terminada"
    assert await run.ended(10) in (Exit(0), Exit(signal=signal.SIGTERM))
    await run.close()


async def test_kill_9_is_told_as_a_signal(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    run.signal(signal.SIGKILL)
    assert await run.ended(10) == Exit(signal=9)
    assert "SIGKILL" in str(run.exit)
    await run.close()


async def test_a_paused_app_does_not_answer_until_it_resumes(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    run.signal(signal.SIGSTOP)
    asked = asyncio.create_task(get(run))
    done, _ = await asyncio.wait([asked], timeout=0.3)
    assert not done
    run.signal(signal.SIGCONT)
    assert (await asyncio.wait_for(asked, 10)).status_code == 200
    await run.close()


async def test_the_log_is_complete_up_to_now(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    await get(run)
    async with asyncio.timeout(5):
        while "atendida 127.0.0.1" not in await run.sync():
            await asyncio.sleep(0.005)
    await run.close()


async def test_the_reason_of_a_failed_load_is_told(runner: Runner, folder: Path) -> None:
    (folder / "e1.py").write_text("app = 1 / 0\n")
    run = await runner.launch(folder, "e1:app")
    with pytest.raises(LaunchError, match=r"ZeroDivisionError: division by zero \(en e1.py, línea 1\)"):
        await run.ready(20)
    await run.close()


POSTGRES_APP = """
    from contextlib import asynccontextmanager
    from fastapi import FastAPI
    from taller.services import postgres

    @asynccontextmanager
    async def lifespan(app):
        async with postgres() as app.state.server:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def root():
        return app.state.server.url
"""

SEMAPHORE_APP = """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from fastapi import FastAPI

    app = FastAPI()
    context = get_context("spawn")
    pool, lock = ProcessPoolExecutor(1, mp_context=context), context.Lock()

    @app.get("/")
    async def root():
        pool.submit(abs, -1).result()
        return f"/dev/shm/sem.{lock._semlock.name.lstrip('/')}"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="los semáforos con nombre solo se ven en /dev/shm")
@pytest.mark.parametrize("kill", [True, False])
async def test_what_an_app_leaves_outside_its_folder_goes_with_it(runner: Runner, tmp_path: Path, kill: bool) -> None:
    """Los datos de un PostgreSQL y los semáforos de multiprocessing, aunque la app muera sin poder limpiar."""
    left = []
    for name, source in (("postgres_app", POSTGRES_APP), ("semaphore_app", SEMAPHORE_APP)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        run = await (await runner.launch(tmp_path, f"{name}:app")).ready(30)
        told = (await get(run)).json()
        path = Path(told.partition("host=")[2] or told)
        assert path.exists()
        left.append(path)
        if kill:
            run.signal(signal.SIGKILL)
            await run.ended(10)
        await run.close()
    async with asyncio.timeout(10):
        while any(path.exists() for path in left):
            await asyncio.sleep(0.01)


async def test_a_taken_port_is_an_error_of_the_caller(runner: Runner, folder: Path) -> None:
    run = await (await runner.launch(folder, "e1:app", port=0)).ready(20)
    assert run.address is not None
    with pytest.raises(OSError, match=r"(?i)address already in use"):
        await runner.launch(folder, "e1:app", port=run.address.port)
    await run.close()


async def test_a_flood_of_output_is_cut_but_the_app_goes_on(folder: Path) -> None:
    runner = start_runner()
    runner.backend.wait_warm()
    run = await (await runner.launch(folder, "e1:app")).ready(20)
    assert (await asyncio.wait_for(get(run, "/flood"), 10)).json() == "inundada"
    log = await run.sync()
    assert "[salida cortada a los 256 KiB]" in log
    assert len(log.encode()) < 400 * 1024
    assert (await get(run)).status_code == 200
    await run.close()
    runner.close()


@pytest.mark.parametrize("backend", ["fork", "fresh"])
async def test_if_the_caller_is_killed_its_apps_die_too(backend: str, folder: Path) -> None:
    script = textwrap.dedent(f"""
        import asyncio, pathlib
        from taller.runner import start_runner

        async def main():
            runner = start_runner()
            runner.backend.wait_warm()
            run = await (await runner.launch(pathlib.Path({str(folder)!r}), "e1:app", port=0)).ready(20)
            print(run.address.port, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    env = {**os.environ, **({"TALLER_SIN_FORK": "1"} if backend == "fresh" else {})}
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=env, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert caller.stdout is not None
    port = int(await asyncio.wait_for(caller.stdout.readline(), 30))
    caller.kill()
    await caller.wait()
    async with asyncio.timeout(10):
        while await accepts_connections(port):
            await asyncio.sleep(0.01)


async def accepts_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
