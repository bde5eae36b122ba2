"""Lo que se enseña al estudiante de la salida de su app: su línea y su error, sin las entrañas de las bibliotecas."""

from pathlib import Path

from taller.checking.logs import last_error, relevant

FOLDER = Path("/entrega/04_sse")

# Así cuentan FastAPI y anyio un error dentro de un flujo SSE: una traza dentro de otra.
NESTED = """\
INFO:     - "GET /events HTTP/1.1" 200 OK
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "/biblioteca/fastapi/routing.py", line 660, in _sse_producer_cm
  |     async with anyio.create_task_group() as tg:
  |   File "/biblioteca/anyio/_backends/_asyncio.py", line 871, in __aexit__
  |     raise BaseExceptionGroup(
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/biblioteca/fastapi/routing.py", line 638, in _producer
    |     async for raw_item in sse_aiter:
    |   File "/entrega/04_sse/e1_flujo.py", line 129, in events
    |     raise ValueError("ay")
    | ValueError: ay
    +------------------------------------
"""


def test_of_a_nested_traceback_only_the_students_line_remains() -> None:
    assert relevant(NESTED, FOLDER) == ["e1_flujo.py, línea 129:", '    raise ValueError("ay")', "ValueError: ay"]
    assert last_error(NESTED, FOLDER) == "ValueError: ay (e1_flujo.py, línea 129)"


def test_what_the_app_prints_is_kept() -> None:
    assert relevant("INFO:     Started\nstream closed\n", FOLDER) == ["stream closed"]
