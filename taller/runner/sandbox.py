"""La jaula: un `bubblewrap` por entrega y ejercicio, sin red, sin más archivos que los suyos y con poco de todo.

    with Cells.create() as cells:
        async with cells.open(entrega) as sandbox:
            ConfinedProcess(control, sandbox.cell, sandbox.uid, sandbox.shared)

`bwrap` monta la jaula y deja en ella un proceso que espera; lo demás entra después (`confine`), en milésimas de segundo
y con FastAPI ya importado. Cuando ese primer proceso muere, el núcleo mata a cuantos queden dentro.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from taller.catalog import ROOT
from taller.errors import TallerError
from taller.patience import patience
from taller.runner.usage import MemoryWatch

MIB = 1024 * 1024
START_SECONDS = 20.0
SHARED = "/compartida"
DATA = "/datos"
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
DEVICES = ("null", "zero", "full", "random", "urandom")
# Dentro, cada uno es otro usuario: así el núcleo le cuenta los procesos aparte. Fuera no son nadie.
FIRST_UID, UIDS = 200_000, 64
OWN_NAMESPACES = ("pid", "net", "ipc", "uts", "cgroup-try")
OLDEST = (0, 7)


class SandboxError(TallerError):
    """No se puede encerrar nada en esta máquina; el mensaje dice cómo arreglarlo."""


@dataclass
class Sandbox:
    """Una jaula abierta. `cell` y `shared` son descriptores: de su primer proceso y de la carpeta que comparte."""

    process: asyncio.subprocess.Process
    cell: int
    shared: int
    uid: int | None
    watch: MemoryWatch

    @property
    def trouble(self) -> str:
        """Por qué se ha tenido que cerrar antes de tiempo; vacío si no ha hecho falta."""
        return self.watch.trouble

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.cell, signal.SIGKILL)


@dataclass
class Cells:
    """De aquí salen las jaulas. Se cierra al acabar."""

    bwrap: str
    folder: Path
    users: int | None
    free_uids: list[int] = field(default_factory=lambda: list(range(1, UIDS + 1)))

    @classmethod
    def create(cls) -> Self:
        """
        Raises:
            SandboxError: aquí no hay bubblewrap, o no puede trabajar.
        """
        bwrap = find_bubblewrap()
        folder = Path(tempfile.mkdtemp(prefix="taller-jaulas-"))
        (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        (folder / "group").write_text("")
        users = os.geteuid() == 0
        uids = range(1, UIDS + 1) if users else [os.getuid()]
        (folder / "passwd").write_text("".join(f"estudiante{uid}:x:{uid}:{uid}::/tmp:/bin/sh\n" for uid in uids))
        cells = cls(bwrap, folder, None)
        try:
            cells.users = new_users() if users else None
            cells.prove()
        except BaseException:
            cells.close()
            raise
        return cells

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.users is not None:
            os.close(self.users)
        shutil.rmtree(self.folder, ignore_errors=True)

    def prove(self) -> None:
        """Abre una jaula y la cierra: que esté instalado no quiere decir que el sistema le deje trabajar."""
        command = [*self.command(None), "true"]
        tried = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, pass_fds=self._fds())
        if tried.returncode != 0:
            reason = (tried.stderr.strip().splitlines() or ["sin más explicación"])[-1]
            raise SandboxError(
                f"bubblewrap no puede encerrar nada aquí ({reason}). Si el sistema no deja crear espacios de usuarios, "
                "permítelo con: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            )

    def command(self, submission: Path | None, *readable: Path) -> list[str]:
        """La orden que monta una jaula, a falta del programa que correrá en ella."""
        users = ["--userns", str(self.users)] if self.users is not None else ["--unshare-user"]
        namespaces = [f"--unshare-{name}" for name in OWN_NAMESPACES]
        life = ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "jaula", "--chdir", "/"]
        return [self.bwrap, *users, *namespaces, *life, *self._system(), *_course(), *_bind(submission, *readable)]

    def _system(self) -> list[str]:
        options = ["--ro-bind", "/usr", "/usr"]
        for name in SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                options += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                options += ["--ro-bind", str(path), str(path)]
        options += [*_passable(Path("/etc/hosts")), *_passable(Path("/dev/null"))]
        for name in ("hosts", "passwd", "group"):
            options += ["--ro-bind", str(self.folder / name), f"/etc/{name}"]
        options += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc"]
        for name in DEVICES:
            options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
        options += ["--symlink", "/proc/self/fd", "/dev/fd"]
        for path, size in ((Path("/tmp"), 64), (Path("/dev/shm"), 16), (Path(SHARED), 16), (Path(DATA), 256)):
            options += ["--perms", "1777", "--size", str(size * MIB), "--tmpfs", str(path)]
        return options

    def _fds(self) -> list[int]:
        return [self.users] if self.users is not None else []

    @contextlib.asynccontextmanager
    async def open(self, submission: Path, *readable: Path) -> AsyncIterator[Sandbox]:
        """Una jaula que solo ve, sin poder tocarlos, `submission` y `readable`; al salir no queda nada de ella.

        Raises:
            SandboxError: no llega a abrirse.
        """
        uid = self.free_uids.pop() if self.users is not None else None
        try:
            async with self._process(submission, *readable) as (process, first):
                with _descriptors(first) as (cell, shared, listing):
                    sandbox = Sandbox(process, cell, shared, uid, MemoryWatch(listing))
                    watching = asyncio.create_task(sandbox.watch.run(sandbox.kill))
                    try:
                        yield sandbox
                    finally:
                        watching.cancel()
                        sandbox.kill()
                        await process.wait()
        finally:
            if uid is not None:
                self.free_uids.append(uid)

    @contextlib.asynccontextmanager
    async def _process(
        self, submission: Path, *readable: Path
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
        """La jaula montada, y el número de su primer proceso visto desde fuera."""
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command(submission, *readable),
                *("--info-fd", str(writing), "cat"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[writing, *self._fds()],
            )
            try:
                await _answer(process)
                yield process, json.loads(os.read(reading, 4096))["child-pid"]
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
        finally:
            os.close(reading)
            os.close(writing)


def find_bubblewrap() -> str:
    """
    Raises:
        SandboxError: no está, o es demasiado antiguo.
    """
    found = shutil.which("bwrap")
    if sys.platform != "linux":
        raise SandboxError("Para encerrar el código de los estudiantes hace falta Linux. En Windows: wsl --install")
    if found is None:
        raise SandboxError(
            "No encuentro bubblewrap, que encierra el código de los estudiantes. "
            "Instálalo con: sudo apt install bubblewrap"
        )
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(int(part) for part in said.split()[-1].split(".")[:2])
    if version < OLDEST:
        raise SandboxError(f"Este {said.strip()} es demasiado antiguo. Actualízalo con: sudo apt install bubblewrap")
    return found


def new_users() -> int:
    """Como root, un espacio de usuarios con varios usuarios sin poder, para no correr código ajeno como root."""
    code = "import ctypes; print(ctypes.CDLL(None).unshare(0x10000000), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        for kind in ("uid", "gid"):
            Path(f"/proc/{process.pid}/{kind}_map").write_text(f"0 0 1\n1 {FIRST_UID} {UIDS}\n")
        users = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY)
        process.stdin.write("\n")
        process.stdin.close()
    return users


def _course() -> list[str]:
    """El intérprete con sus bibliotecas y la herramienta; ni controles ni soluciones, aunque estén bajo /usr."""
    options = [*_passable(ROOT), "--tmpfs", str(ROOT)]
    python = [Path(path) for path in dict.fromkeys((sys.base_prefix, sys.prefix))]
    seen = [path for path in python if not path.is_relative_to("/usr") or path.is_relative_to(ROOT)]
    return [*options, *_bind(*seen, ROOT / "taller")]


def _bind(*paths: Path | None) -> list[str]:
    options = []
    for path in filter(None, paths):
        options += [*_passable(path), "--ro-bind", str(path), str(path)]
    return options


def _passable(path: Path) -> list[str]:
    """Las carpetas que llevan hasta `path`, de paso para cualquiera: bubblewrap las haría privadas."""
    parents = [parent for parent in reversed(path.parents) if parent != Path("/")]
    return [option for parent in parents for option in ("--perms", "0755", "--dir", str(parent))]


async def _answer(process: asyncio.subprocess.Process) -> None:
    """Espera a que la jaula esté montada: contesta quien la guarda."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(b"x")
    try:
        async with asyncio.timeout(patience(START_SECONDS)):
            answer = await process.stdout.read(1)
    except TimeoutError:
        answer = b""
    if answer != b"x":
        if process.returncode is None:
            process.kill()
        reason = (await process.stderr.read()).decode(errors="replace").strip()
        raise SandboxError(f"No se pudo abrir una jaula ({reason}). Mira si bubblewrap funciona con: bwrap --version")


@contextlib.contextmanager
def _descriptors(first: int) -> Iterator[tuple[int, int, int]]:
    """De la jaula cuyo primer proceso es `first`: él, la carpeta que comparte y la lista de sus procesos."""
    opened = [os.pidfd_open(first)]
    try:
        for path in (SHARED, "/proc"):
            opened.append(os.open(f"/proc/{first}/root{path}", os.O_RDONLY | os.O_DIRECTORY))
        cell, shared, listing = opened
        yield cell, shared, listing
    finally:
        for descriptor in opened:
            os.close(descriptor)
