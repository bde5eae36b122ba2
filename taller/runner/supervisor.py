"""Un supervisor por ejecución: su vida es la de la conexión con quien la pidió.

Recibe una línea JSON con la petición, hace `fork` del trabajador, retransmite sus avisos y su salida, y
obedece órdenes. Cuando quien la pidió cierra la conexión (o muere), mata al trabajador y a todos sus
descendientes, aunque ignoren SIGTERM, hayan hecho `fork` o hayan cambiado de sesión. También borra su
carpeta temporal (TMPDIR).

Si la ejecución es de una jaula (`sandbox`), el trabajador nace dentro y el supervisor se queda fuera: no se le puede
tocar desde ella. Lo que se quede huérfano dentro muere con la jaula, y la carpeta temporal también es suya.

Peticiones  {"entry": "paquete.módulo", "payload": {…}, "env": {…}}
Órdenes     {"do": "signal", "number": 9} · {"do": "sync", "id": 1}
Avisos      {"event": "born", "pid": 12} · {"event": "note", "text": línea del trabajador} · {"event": "log", "text": …}
            {"event": "synced", "id": 1, "files": 12, "cpu": 0.31} · {"event": "exit", "code": 0, "signal": 0}
"""

import codecs
import ctypes
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from taller.runner.cleaners import cleans
from taller.runner.limits import LOG_LIMIT, NOTES_LIMIT

Notify = Callable[[dict[str, Any]], None]

# Paquetes que miran una variable de entorno al importarse: con ella, no sirve lo que importó el proceso caliente.
DECIDED_AT_IMPORT = {"PROMETHEUS_MULTIPROC_DIR": "prometheus_client"}

PR_SET_CHILD_SUBREAPER = 36
# Lo que se da, como mucho, a quienes limpian detrás de otros (`cleaners`).
CLEANING_SECONDS = 5.0


def supervise(connection: socket.socket, listener: socket.socket | None = None, cell: int | None = None) -> None:
    """Corre en un `fork` del proceso caliente. Solo vuelve en el trabajador, y como `SystemExit`.

    `cell` es un descriptor del primer proceso de la jaula en la que hay que encerrarlo.
    """
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    adopt_orphans()
    log, notes, request = os.pipe(), os.pipe(), os.pipe()
    scratch = tempfile.mkdtemp(prefix="taller-") if cell is None else None
    worker = fork_into(cell)
    if worker == 0:
        connection.close()
        for reading in (log[0], notes[0], request[1]):
            os.close(reading)
        become_worker(request[0], listener, log[1], notes[1], scratch, cell)
    for writing in (log[1], notes[1], request[0]):
        os.close(writing)
    if listener is not None:
        listener.close()
    # El trabajador ya existe cuando llega la petición: si se reservó de antemano, no espera a ningún fork.
    line, commands = read_line(connection)
    if line:
        os.write(request[1], line + b"\n")
    os.close(request[1])
    Supervisor(connection, worker, log[0], notes[0], scratch, commands).run()


def read_line(connection: socket.socket) -> tuple[bytes, bytes]:
    """La primera línea que llega y lo que haya llegado detrás."""
    received = b""
    while b"\n" not in received:
        data = connection.recv(65536)
        if not data:
            return b"", b""
        received += data
    line, _, rest = received.partition(b"\n")
    return line, rest


def adopt_orphans() -> None:
    """En Linux, los nietos huérfanos pasan a ser hijos del supervisor, que así los encuentra y los mata."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork_into(cell: int | None) -> int:
    """`fork`; con `cell`, el hijo nace en esa jaula. Si ya no existe, quien lo pidió verá que la conexión se cierra."""
    if cell is None:
        return os.fork()
    from taller.runner.confine import join_for_children

    try:
        join_for_children(cell)
        return os.fork()
    except OSError:
        os._exit(1)


def become_worker(
    requested: int, listener: socket.socket | None, log: int, notes: int, scratch: str | None, cell: int | None
) -> NoReturn:
    os.setsid()
    with open(requested, "rb") as stream:  # es un descriptor, no una ruta
        line = stream.readline()
    if not line:
        os._exit(0)
    request = json.loads(line)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    if cell is not None:
        from taller.runner.confine import confine

        confine(cell, request["uid"], keep={0, 1, 2, notes, *([listener.fileno()] if listener else [])})
    os.environ.clear()
    os.environ.update(request["env"], TMPDIR=scratch or "/tmp")
    tempfile.tempdir = None
    for package in (package for variable, package in DECIDED_AT_IMPORT.items() if variable in os.environ):
        forget(package)

    def notify(note: dict[str, Any]) -> None:
        os.write(notes, json.dumps(note).encode() + b"\n")

    entry = importlib.import_module(request["entry"])
    sys.exit(entry.main(request["payload"], listener, notify))


def forget(package: str) -> None:
    """Que la próxima vez se importe de nuevo."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


class Supervisor:
    """Retransmite entre el trabajador y la conexión hasta que uno de los dos termina."""

    def __init__(
        self, connection: socket.socket, worker: int, log: int, notes: int, scratch: str | None, commands: bytes
    ) -> None:
        self.connection, self.worker, self.log, self.notes = connection, worker, log, notes
        self.scratch, self.commands, self.pending_notes = scratch, commands, b""
        self.alive = True
        self.logged = self.noted = 0
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.wakeup, wakeup_write = os.pipe()
        for descriptor in (log, notes, self.wakeup, wakeup_write):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)

    def run(self) -> NoReturn:
        try:
            self.relay()
        except OSError:
            # Quien pidió la ejecución ya no está: solo queda limpiar.
            pass
        finally:
            if self.alive:
                _kill(self.worker)
                # Hasta que no muere no se sabe qué huérfanos deja.
                os.waitpid(self.worker, 0)
            kill_descendants(self.worker)
            if self.scratch is not None:
                shutil.rmtree(self.scratch, ignore_errors=True)
            os._exit(0)

    def relay(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ, self.on_command)
            selector.register(self.log, selectors.EVENT_READ, self.on_log)
            selector.register(self.notes, selectors.EVENT_READ, self.on_notes)
            selector.register(self.wakeup, selectors.EVENT_READ, self.on_child)
            self.send({"event": "born", "pid": self.worker})
            if self.on_child():
                return
            while True:
                for key, _ in selector.select():
                    finished = key.data()
                    if finished:
                        return
                    if finished is None:
                        selector.unregister(key.fileobj)

    def send(self, event: dict[str, Any]) -> None:
        self.connection.sendall(json.dumps(event).encode() + b"\n")

    # Cada manejador devuelve True si la ejecución ha terminado y None si su descriptor se ha cerrado.

    def on_command(self) -> bool:
        data = self.connection.recv(65536)
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            self.obey(json.loads(line))
        return not data

    def obey(self, command: dict[str, Any]) -> None:
        if command["do"] == "signal" and self.alive:
            os.kill(self.worker, command["number"])
        elif command["do"] == "sync":
            self.on_notes()
            self.on_log()
            counted = {"files": self.count_files(), "cpu": cpu_seconds(self.worker)}
            self.send({"event": "synced", "id": command["id"], **counted})

    def count_files(self) -> int | None:
        files = open_files(self.worker)
        if files is None and self.scratch is None and self.alive:
            # En su jaula siempre se pueden contar, salvo que se esconda a propósito.
            os.kill(self.worker, signal.SIGKILL)
        return files

    def on_log(self) -> bool | None:
        while data := _read(self.log):
            room = LOG_LIMIT - self.logged
            self.logged += len(data)
            if room > 0:
                self.send({"event": "log", "text": self.decode(data)})
            else:
                # Una app que inunda la salida no puede acaparar el bucle: cede el turno tras cada lectura.
                return False
        return None if data == b"" else False

    def on_notes(self) -> bool | None:
        while data := _read(self.notes):
            self.noted += len(data)
            if self.scratch is None and self.noted > NOTES_LIMIT:
                # Una app solo tiene que decir si ha arrancado.
                return None
            *lines, self.pending_notes = (self.pending_notes + data).split(b"\n")
            for line in lines:
                # Tal cual, como un texto: el código del estudiante también puede escribir aquí.
                self.send({"event": "note", "text": line.decode("utf-8", "replace")})
        return None if data == b"" else False

    def on_child(self) -> bool:
        _read(self.wakeup)
        for pid, status in reap():
            if pid == self.worker:
                self.alive = False
                self.on_notes()
                self.on_log()
                kill_descendants(self.worker)
                code, number = os.waitstatus_to_exitcode(status), 0
                if code < 0:
                    code, number = 0, -code
                self.send({"event": "exit", "code": code, "signal": number})
                return True
        return False


def _read(descriptor: int) -> bytes | None:
    """Lo que haya ahora mismo: `b""` si el otro extremo se ha cerrado, None si de momento no hay nada."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def reap() -> list[tuple[int, int]]:
    """Los hijos que ya han terminado, con su estado."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def kill_descendants(worker: int) -> None:
    """Mata el grupo del trabajador y, en Linux, a cuantos huérfanos vaya adoptando el supervisor."""
    let_cleaners_finish()
    _kill_group(worker)
    while True:
        children = child_pids()
        for pid in children:
            _kill(pid)
        try:
            # Sin lista de hijos (macOS) se espera solo a los que ya han recibido la señal del grupo.
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def let_cleaners_finish() -> None:
    """Mata a los huérfanos y espera a quienes limpian detrás de ellos; a estos, solo hasta que vence el plazo."""
    limit = time.monotonic() + CLEANING_SECONDS
    while any(map(is_cleaner, children := child_pids())) and time.monotonic() < limit:
        for pid in children:
            if not is_cleaner(pid):
                _kill(pid)
        reap()
        time.sleep(0.002)


def is_cleaner(pid: int) -> bool:
    try:
        return cleans(Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace"))
    except OSError:
        return False


def open_files(pid: int) -> int | None:
    """Cuántos descriptores tiene abiertos un proceso, mirado desde fuera; None donde no se puede saber."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None


def cpu_seconds(pid: int) -> float | None:
    """Los segundos que ha estado calculando un proceso desde que nació; None donde no se puede saber."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # utime y stime: los campos 14 y 15 de proc(5), que cuenta desde 1 y con los dos del nombre.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def child_pids() -> list[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
