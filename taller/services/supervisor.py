"""El vigilante: arranca un servidor por encargo y lo mata, con sus ficheros, cuando desaparece su dueño.

Se ejecuta suelto: `python -I supervisor.py CARPETA CERROJO SEÑAL`. Recibe encargos por la entrada, un
objeto JSON por línea: `{"argv", "user", "log", "input", "inherited"}`. Cuenta por la salida lo que pasa, también
en JSON: `{"ready": bool}` al empezar, y después `{"pid": int}`, `{"error": str}` o `{"code": int}`.

Es un proceso aparte, y no PR_SET_PDEATHSIG, por tres razones: sirve igual en macOS y Windows; aquella señal
salta cuando muere el *hilo* que creó al hijo, no el proceso; y así alguien borra también los ficheros. El
núcleo cierra nuestra entrada cuando el dueño muere, aunque sea con SIGKILL. Si un `fork` del dueño heredó el
otro extremo y lo mantiene abierto, lo delata que nuestro padre ha cambiado.
"""

import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WINDOWS = os.name == "nt"
OWNER_POLL_SECONDS = 0.5
LOCK_SECONDS = 2.0
FAREWELL_SECONDS = 3.0
KILL_SECONDS = 5.0


def process_tree(pid: int) -> list[Any]:
    """El proceso `pid` y toda su descendencia, como `psutil.Process`; vacía si ya no existe."""
    # psutil se importa al usarla: así el vigilante está listo 14 ms antes.
    psutil = importlib.import_module("psutil")
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def gone(process: Any) -> bool:
    """¿Ha muerto? Un zombi que nadie ha recogido todavía cuenta como muerto."""
    psutil = importlib.import_module("psutil")
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command_of(process: Any) -> str:
    """La orden con que se arrancó; vacía si ya no existe."""
    psutil = importlib.import_module("psutil")
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill_each(processes: list[Any]) -> None:
    """Mata esos procesos (SIGKILL); los que ya no existan, nada."""
    _each(processes, "kill")


def _each(processes: list[Any], action: str) -> None:
    psutil = importlib.import_module("psutil")
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            getattr(process, action)()


def pause_tree(pid: int) -> list[Any]:
    """Detiene el árbol (SIGSTOP) empezando por la raíz, para que no nazcan hijos entretanto."""
    _each(process_tree(pid)[:1], "suspend")
    tree = process_tree(pid)
    _each(tree[1:], "suspend")
    return tree


def resume_tree(pid: int) -> None:
    """Reanuda el árbol (SIGCONT), la raíz en último lugar."""
    _each(process_tree(pid)[::-1], "resume")


def kill_tree(pid: int) -> list[Any]:
    """Mata el árbol entero (SIGKILL), esté o no detenido, y devuelve los procesos que lo formaban."""
    tree = pause_tree(pid)
    _each(tree, "kill")
    return tree


def wait_gone(tree: list[Any]) -> None:
    """Bloquea hasta que no quede vivo ninguno; a los 5 s se rinde."""
    limit = time.monotonic() + KILL_SECONDS
    while not all(map(gone, tree)) and time.monotonic() < limit:
        time.sleep(0.002)


def say(**event: object) -> None:
    # Si el dueño ya no está, no hay a quién contárselo.
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(event).encode() + b"\n")


def take_lock(path: str) -> bool:
    """Reserva la carpeta de datos mientras viva este proceso; espera un poco a que la suelte el anterior."""
    if WINDOWS:
        return True  # ahí solo PostgreSQL usa carpeta, y tiene su propio cerrojo
    fcntl = importlib.import_module("fcntl")
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    limit = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > limit:
                return False
            time.sleep(0.02)


def orders() -> Iterator[dict[str, Any]]:
    """Los encargos del dueño; termina cuando el dueño desaparece."""
    owner, pending = os.getppid(), b""
    while os.getppid() == owner:
        if not WINDOWS and not select.select([0], [], [], OWNER_POLL_SECONDS)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        yield from map(json.loads, lines)


def adopt_orphans() -> None:
    """En Linux, los nietos que pierdan a su padre pasan a ser hijos nuestros, y no zombis de nadie."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        importlib.import_module("ctypes").CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def clear_orphans() -> None:
    """Mata y recoge lo que dejó un servidor que ha muerto sin despedirse."""
    orphans = process_tree(os.getpid())[1:]
    _each(orphans, "kill")
    for orphan in orphans:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(orphan.pid, 0)


class Child:
    """El servidor en marcha, con un hilo que espera a que termine para contarlo."""

    def __init__(self, order: dict[str, Any]) -> None:
        drop = {} if order["user"] is None else {"user": order["user"], "group": order["user"], "extra_groups": []}
        with Path(order["log"]).open("ab") as log:
            self.popen = subprocess.Popen(
                order["argv"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=order["inherited"],
                **drop,
            )
        self.waiter = threading.Thread(target=self._report, args=(order["input"],), daemon=True)
        say(pid=self.popen.pid)
        adopt_orphans()
        self.waiter.start()

    def _report(self, text: str) -> None:
        self.popen.communicate(text.encode())
        clear_orphans()
        say(code=self.popen.returncode)

    def dismiss(self, farewell: int) -> None:
        """Pide al servidor que termine con `farewell` (0: sin pedirlo) y, si no lo hace a tiempo, lo mata."""
        if not self.waiter.is_alive():
            return
        if farewell:
            resume_tree(self.popen.pid)
            self.popen.send_signal(farewell)
            self.waiter.join(FAREWELL_SECONDS)
        wait_gone(kill_tree(self.popen.pid))


def serve(farewell: int) -> None:
    child: Child | None = None
    try:
        for order in orders():
            try:
                child = Child(order)
            except (OSError, subprocess.SubprocessError) as error:
                say(error=str(error))
    finally:
        if child:
            child.dismiss(farewell)


def main(scratch: str, lock: str, farewell: int) -> None:
    """Atiende encargos hasta que desaparece el dueño; `scratch` se borra siempre al final."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    try:
        ready = not lock or take_lock(lock)
        say(ready=ready)
        if ready:
            serve(farewell)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
