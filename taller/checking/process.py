"""Un proceso del estudiante visto por un control: qué ha escrito, qué le pasa y cómo matarlo o congelarlo."""

import asyncio
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from taller.checking.logs import last_error, relevant
from taller.patience import patience
from taller.runner import Exit, Run
from taller.wire import Mismatch, transcript

# Lo que sale de un despiste al escribir, y no de lo que el control provoca.
SLIP = re.compile(r"(Name|UnboundLocal|Attribute|Type|Import|ModuleNotFound|Index)Error\b")
# Lo que puede calcular quien no tiene nada que hacer. Quien da vueltas lo usa todo, o lo que le dejen los demás.
MOST_BUSY = 0.2
TRACE_POLLS, TRACE_POLL_SECONDS = 15, 0.02
STACK_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


class Process:
    """Un proceso en marcha. Lo que se le hace queda apuntado en la transcripción."""

    whose: ClassVar[str] = "tu app"

    def __init__(self, run: Run, folder: Path, name: str, env: Mapping[str, str]) -> None:
        self.run, self.folder, self.name = run, folder, name
        # Las direcciones de los servidores no le dicen nada al estudiante; lo demás cambia lo que debe contestar.
        self.settings = " ".join(
            f"{key}={value}" for key, value in env.items() if not key.endswith(("_URL", "_SOCKET"))
        )
        self._noted = 0

    async def kill(self) -> None:
        """kill -9: muere en el acto, sin limpiar."""
        self._signal(signal.SIGKILL)
        await self.run.ended(patience(2.0))

    async def terminate(self, within: float = 5.0) -> Exit:
        """SIGTERM, como al desplegar; espera a que termine.

        Raises:
            Mismatch: sigue vivo tras `within` segundos.
        """
        self._signal(signal.SIGTERM)
        ended = await self.run.ended(patience(within))
        if ended is None:
            found = "; ".join(filter(None, ["sigue en marcha", await self.diagnose()]))
            raise Mismatch(f"que {self.whose} termine en {within:g} s tras SIGTERM", found)
        transcript.add(self.name, "control", "signal", str(ended))
        return ended

    async def pause(self) -> None:
        """Detiene el proceso; al volver ya no ejecuta nada, aunque sigan llegándole bytes."""
        self._signal(signal.SIGSTOP)
        # El supervisor contesta después de haber enviado la señal.
        await self.run.sync()

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        transcript.add("control", self.name, "signal", number.name)
        self.run.signal(number)

    async def log(self) -> str:
        """Todo lo que ha escrito en su salida hasta ahora."""
        return await self.run.sync()

    async def open_files(self) -> int | None:
        """Los descriptores que tiene abiertos, contados desde fuera; None donde no se pueden ver (macOS, Windows)."""
        return await self.run.open_files()

    async def rests(self, when: str, seconds: float = 0.4) -> None:
        """Exige que, `when` («con la bandeja vacía»), no dé vueltas sin esperar a nada. Donde no se puede ver, nada.

        Raises:
            Mismatch: en esos segundos ha estado calculando más de la parte que admite MOST_BUSY.
        """
        before = await self.run.cpu_seconds()
        await asyncio.sleep(seconds)
        after = await self.run.cpu_seconds()
        if before is not None and after is not None and after - before > MOST_BUSY * seconds:
            busy = (after - before) / seconds
            found = f"ha estado calculando el {busy:.0%} del tiempo: da vueltas sin esperar a nada"
            raise Mismatch(f"que {self.whose} descanse {when}", found)

    async def diagnose(self) -> str:
        """Por qué puede no estar contestando: terminó, lanzó una excepción o está parada en alguna línea."""
        if await self.run.ended(0.03):
            return f"{self.whose} {self.run.exit}"
        if error := last_error((await self.log())[self._noted :], self.folder):
            return f"{self.whose} lanzó {error}"
        for match in STACK_LINE.finditer(await self.run.stack()):
            path = Path(match["file"])
            if path.is_relative_to(self.folder):
                return f"{self.whose} está parada en {path.name}, línea {match['line']}"
        return ""

    async def slip(self) -> str:
        """Si acaba de tropezar con un error de programación, cuál y dónde; si no, nada."""
        error = last_error((await self._complete_log())[self._noted :], self.folder) or ""
        return f"{self.whose} lanzó {error}" if SLIP.match(error) else ""

    async def _complete_log(self) -> str:
        """Su salida; si ha contestado un 500, con la traza, que uvicorn escribe después de la respuesta."""
        text = await self.log()
        for _ in range(TRACE_POLLS):
            if "500 Internal Server Error" not in text[self._noted :] or "Traceback" in text[self._noted :]:
                break
            await asyncio.sleep(TRACE_POLL_SECONDS)
            text = await self.log()
        return text

    async def note_log(self) -> None:
        """Pasa a la transcripción con qué variables arrancó y lo que haya escrito que diga algo al estudiante."""
        if self.settings:
            transcript.lead("control", self.name, "note", f"arranca con {self.settings}")
        text = await self._complete_log()
        for line in relevant(text[self._noted :], self.folder):
            transcript.add(self.name, "terminal", "log", line)
        self._noted = len(text)


class Worker(Process):
    """Un obrero: el proceso que hace las tareas de la cola del estudiante."""

    whose = "tu obrero"
