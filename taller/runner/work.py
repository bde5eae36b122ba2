"""Lo que corre dentro de un obrero: carga el `broker` del estudiante y hace las tareas que llegan a su cola.

Es `taskiq worker módulo:broker` en un solo proceso. Avisa igual que `serve`. SIGTERM deja terminar lo empezado;
si la cola falla (Redis se reinicia), vuelve a ella.
"""

import asyncio
import importlib
import logging
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from taskiq import AsyncBroker
from taskiq.receiver import Receiver

from taller.runner.serve import NoAppError, Notify, explain, settle_in

MAX_TASKS = 10
RETRY_SECONDS = 0.1


def main(payload: dict[str, Any], _listener: None, notify: Notify) -> int:
    """Trabaja para `payload["target"]` (`módulo:broker`) hasta SIGTERM; devuelve el código de salida."""
    settle_in(payload["folder"])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    try:
        broker = find_broker(payload["target"])
    except BaseException as error:
        notify({"event": "failed", "reason": explain(error, payload["folder"])})
        traceback.print_exc()
        return 1
    asyncio.run(work(broker, notify))
    return 0


def find_broker(target: str) -> AsyncBroker:
    module_name, _, attribute = target.partition(":")
    broker = getattr(importlib.import_module(module_name), attribute, None)
    if not isinstance(broker, AsyncBroker):
        raise NoAppError(f"Tu archivo no define «{attribute}», la cola de taskiq de la que toma tareas el obrero.")
    return broker


async def work(broker: AsyncBroker, notify: Notify) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker.is_worker_process = True
    await broker.startup()
    notify({"event": "ready"})
    with ThreadPoolExecutor() as executor:
        while not stop.is_set():
            try:
                receiver = Receiver(broker, executor, max_async_tasks=MAX_TASKS, run_startup=False)
                await receiver.listen(stop)
            except Exception:
                traceback.print_exc()
                await asyncio.sleep(RETRY_SECONDS)
    await broker.shutdown()
