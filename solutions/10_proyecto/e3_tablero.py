"""10.3 El tablero

Un tablero que no dice la verdad es peor que ninguno. Cada proceso cuenta lo suyo y deja una muestra en Redis cada
`PLAZA_SAMPLE_SECONDS`; `GET /events/dashboard` junta las de todos y las envía. Lo escribes en el paquete `plaza/`:

    TODO 31    vitals.py       juntar las muestras de todos los procesos
    TODO 32    dashboard.py    enviarlas, y solo la última a quien lee despacio

    event: metrics
    data: {"workers": {"web-31": {"connections": {"websocket": 2, "sse": 1}, …}, "web-32": {…}},
           "total": {"connections": {"websocket": 3, "sse": 1}, "messages_published_total": 40,
                     "messages_per_second": 4.0, "delivery_p50_seconds": 0.006, "delivery_p99_seconds": 0.011,
                     "tasks_queued": 0, "cache_hit_ratio": 0.9, …},
           "alerts": [{"metric": "tasks_queued", "value": 140, "threshold": 100}]}

- Los nombres son los de `/metrics` sin `plaza_`; una métrica con etiqueta es un objeto por valor de la etiqueta.
- `total` suma los procesos vivos: los que dejaron una muestra hace menos de 3,5 veces ese tiempo. `tasks_queued` es la
  misma para todos: no se suma.
- Las tasas y los cuantiles son de lo que ha pasado desde la muestra anterior; sin datos, null.
- Hay alerta mientras un valor pase de su umbral (`ALERTS`).
- Un lector parado no acumula: cuando vuelve a leer, recibe lo último. Con SIGTERM el flujo termina.
- Sin Redis, el tablero sigue, con este proceso.

Variables de entorno: `DATABASE_URL`, `REDIS_URL` y `PLAZA_SAMPLE_SECONDS` (1).
"""

from plaza.main import app

__all__ = ["app"]
