"""Taller de APIs en tiempo real: prepara el curso la primera vez y lo abre.

    python3 curso.py              abre el curso
    python3 curso.py pruebas      ejecuta todas las pruebas
    python3 curso.py ORDEN …      lo mismo que `taller ORDEN …`

Solo necesita Python 3.11 o posterior. Crea `.venv` con las versiones exactas de requirements.lock
y cede el paso a `taller`. Si algo se interrumpe, repite la orden: sabe arreglarse.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NoReturn

WINDOWS = sys.platform == "win32"
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
BASE_PYTHON: str = getattr(sys, "_base_executable", sys.executable)  # el de fuera, si este es el de un .venv
STAMP = VENV / "taller.stamp"
STATE = ROOT / ".taller"
LOG = STATE / "setup.log"
LOCK = ROOT / "requirements.lock"
STARTED = time.monotonic()
DEADLINE, REPORT_EVERY, POLL_EVERY, ALMOST_FULL = 1800, 15, 0.1, 100_000_000
AGAIN = " ".join(["python" if WINDOWS else "python3"] + [shlex.quote(arg) for arg in sys.argv])
COPY = f"cp -r {shlex.quote(str(ROOT))} ~/taller && cd ~/taller && python3 curso.py"
KNOWN_TROUBLE = {
    r"(Errno|os error) 28\b|(WinError|os error) 112\b": f"Disco lleno: haz sitio (750 MB) y repite: {AGAIN}",
    r"(Errno|os error) (1|13|30)\b|WinError (5|32)\b": f"Aquí no se puede escribir. Haz una copia: {COPY}",
    r"dns error|error sending request|Connect\w*Error|ProxyError": f"No hay conexión. Repite luego: {AGAIN}",
}


def main() -> int:
    try:
        check_python(sys.version_info[:2])
        if not is_ready():
            set_up()
        return run([str(PYTHON), "-P", "-m", "taller", *sys.argv[1:]])
    except OSError as error:
        stop(cure_for(str(error)) or f"{error}. Arréglalo y repite: {AGAIN}")
    except KeyboardInterrupt:
        say(f"\nInterrumpido. Para continuar: {AGAIN}")
        return 130


def check_python(version: "tuple[int, int]") -> None:
    if version < (3, 11):
        stop("Instala Python 3.11 o posterior y ejecuta: " + AGAIN.replace("python3 ", "python3.11 ", 1))


def is_ready() -> bool:
    """Dice si .venv se terminó de preparar aquí, con esta versión de Python y para estos requisitos."""
    stamp, _, base_python = (STAMP.read_text("utf-8") if STAMP.exists() else "").partition("\n")
    return stamp == fingerprint() and PYTHON.exists() and Path(base_python).exists()


def fingerprint() -> str:
    """De lo que se instala y dónde; lo demás de pyproject.toml (ruff, pytest…) no obliga a instalar otra vez."""
    import tomllib  # no está antes de Python 3.11, y a quien lo tenga hay que podérselo decir

    place = f"{VENV} {sys.platform} {sys.version_info[:2]}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    installed = json.dumps([place, project.get("build-system"), project.get("project")])
    return hashlib.sha256(installed.encode() + LOCK.read_bytes()).hexdigest()


def set_up() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        apt = "sudo apt-get install -y python{}.{}-venv && ".format(*sys.version_info)
        cure = apt if shutil.which("apt-get") else "instala https://www.python.org/downloads/ y repite: "
        stop(f"A este Python le falta lo que crea entornos (venv, ensurepip): {cure}{AGAIN}")
    STATE.mkdir(exist_ok=True)
    with (STATE / "setup.turn").open("a") as turn:
        wait_for(turn)
        if not is_ready():
            build(turn)


def wait_for(turn: IO[str]) -> None:
    for attempt in range(int(DEADLINE / POLL_EVERY)):
        if take(turn):
            return
        if attempt == 0:
            say("Otra ventana está preparando el curso: espero a que termine.")
        time.sleep(POLL_EVERY)
    stop(f"La otra ventana no termina. Ciérrala y repite: {AGAIN}")


def take(turn: IO[str]) -> bool:
    """Pide el turno, que el sistema devuelve cuando muere quien lo tiene, aunque sea de golpe."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(turn.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def build(turn: IO[str]) -> None:
    """Hace .venv desde cero. El sello va al final: sin él, el próximo intento empieza de nuevo."""
    say(f"Preparo el curso en {ROOT} (solo esta vez; ocupa unos 750 MB).")
    if VENV.exists():
        progress("Borro el .venv anterior: quedó a medias o no es de esta versión del curso")
        STAMP.unlink(missing_ok=True)
        shutil.rmtree(VENV)
    progress("Creo .venv con Python {}.{}".format(*sys.version_info))
    works(turn, [BASE_PYTHON, "-I", "-m", "venv", str(VENV)])
    install(turn)
    STAMP.write_text(f"{fingerprint()}\n{BASE_PYTHON}", "utf-8")
    progress("Listo")


def install(turn: IO[str]) -> None:
    """Instala con uv, que tarda segundos; donde no hay uv para esta máquina, con pip."""
    uv = [str(PYTHON.with_name("uv.exe" if WINDOWS else "uv")), "pip", "install", "--python", str(PYTHON)]
    pip = [str(PYTHON), "-I", "-m", "pip", "install", "--no-user", "--retries", "2"]
    everything = LOCK.read_text("utf-8")
    only_uv = "".join(re.findall(r"(?m)^uv==(?:.*\\\n)*.*$", everything))
    (STATE / "uv.lock").write_text(only_uv, "utf-8")
    (STATE / "all-but-uv.lock").write_text(everything.replace(only_uv, ""), "utf-8")
    progress("Instalo uv, el instalador")
    if only_uv and works(turn, [*pip, "--only-binary", ":all:", "-r", "uv.lock"], optional=True):
        # Si Python tiene prohibido guardar lo que compila, cada arranque tardaría el triple.
        compiled = ["--compile-bytecode"] if sys.dont_write_bytecode else []
        tool, packages = uv, [*compiled, "-r", str(LOCK)]
    else:
        tool, packages = pip, ["-r", "all-but-uv.lock"]
    progress("Instalo los paquetes de requirements.lock")
    works(turn, [*tool, *packages])
    progress("Instalo la orden taller")
    works(turn, [*tool, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])


def works(turn: IO[str], command: "list[str]", optional: bool = False) -> bool:
    """Da un paso. El paso hereda el turno: si curso.py muere antes que él, nadie más toca .venv."""
    heirs = () if WINDOWS else (turn.fileno(),)
    with LOG.open("w+b") as log:
        with subprocess.Popen(
            command, cwd=STATE, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=heirs
        ) as step:
            try:
                code = finish(step)
            finally:
                step.kill()
        log.seek(0)
        cure = cure_for(log.read().decode(errors="replace"))
    if code and (cure or not optional):
        stop(cure or f"Ha fallado un paso: mira el final de {LOG} y después repite: {AGAIN}")
    return code == 0


def finish(step: "subprocess.Popen[bytes]") -> int:
    for _ in range(DEADLINE // REPORT_EVERY):
        try:
            return step.wait(REPORT_EVERY)
        except subprocess.TimeoutExpired:
            progress("sigo en ello…")
    stop(f"Este paso no acaba. Mira {LOG} y repite: {AGAIN}")


def cure_for(output: str) -> str:
    if shutil.disk_usage(ROOT).free < ALMOST_FULL:  # en un disco lleno tampoco cabe el mensaje que lo dice
        output += "Errno 28"
    return next((cure for trouble, cure in KNOWN_TROUBLE.items() if re.search(trouble, output)), "")


def run(command: "list[str]") -> int:
    if not WINDOWS:
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C le llega a taller, que sabe cómo acabar
    return subprocess.call(command)


def progress(text: str) -> None:
    say(f"  [{time.monotonic() - STARTED:5.1f} s] {text}".replace(".", ",", 1))


def stop(text: str) -> NoReturn:
    say(text)
    sys.exit(2)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
