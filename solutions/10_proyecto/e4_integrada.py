"""10.4 La aplicación integrada

Todo junto, con varios procesos, y que se rompa lo que se tenga que romper. Lo escribes en el paquete `plaza/`:

    TODO 41    limits.py    un límite de mensajes común a todos los procesos
    TODO 42    bus.py       volver a encontrar Redis
    TODO 43    feed.py      ponerse al día leyendo lo que el bus no contó
    TODO 44    main.py      despedirse

- `PLAZA_MESSAGES_PER_SECOND` (y el doble de golpe) es por persona, sume las conexiones y los procesos que sume; lo que
  pasa recibe `rate_limited` con `retry_after`. Sin Redis cada proceso cuenta lo suyo, pero se sigue hablando.
- Con Redis reiniciado, vacío, parado o en pausa: lo que se dice se guarda, recibe su recibo y llega a todos, en orden y
  una vez, en menos de 3 s. Cuando Redis vuelve, todo sigue sin que nadie reinicie nada.
- Con PostgreSQL reiniciado, lo mismo para lo que recibió su recibo; lo que no, `unavailable`, y repetirlo no duplica.
- SIGTERM: `/health/ready` deja de decir que sí, cada conexión recibe `{"type":"goodbye","retry_after_ms":…}` (no todas
  el mismo) y después 1012, los flujos terminan, y el proceso acaba en menos de 5 s.
- Matar un proceso con `kill -9` no pierde nada de lo que tenía recibo.

Variables de entorno: `DATABASE_URL`, `REDIS_URL` y `PLAZA_MESSAGES_PER_SECOND` (10).
"""

from plaza.main import app
from plaza.tasks import broker

__all__ = ["app", "broker"]
