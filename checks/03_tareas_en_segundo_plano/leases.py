"""Las prórrogas de las tareas de 3.4, miradas en Redis."""

from taller.checking import Approx, Mismatch, OneOf, expect, transcript
from taller.services import Valkey


async def no_lease(server: Valkey, task_id: str) -> None:
    async with server.client() as redis:
        if await redis.exists(f"task:{task_id}:lease"):
            raise Mismatch("que nadie renueve la prórroga de una tarea acabada", f"task:{task_id}:lease sigue ahí")


async def let_the_lease_expire(server: Valkey, task_id: str, lease: float) -> None:
    """Mira que la prórroga vaya a caducar, y a su tiempo; y hace lo que hará Redis cuando llegue."""
    key = f"task:{task_id}:lease"
    async with server.client() as redis:
        left = await redis.pttl(key) / 1000
        # -2: ya no está.
        expect(
            left, OneOf(Approx(0, lease), -2 / 1000), f"los segundos que le quedan a {key} (LEASE_SECONDS={lease:g})"
        )
        await redis.delete(key)
    transcript.note(f"Caduca {key}")
