"""10.2 Los avisos

Quien no está mirando también tiene que enterarse. Un mensaje con `@nombre`, o en una sala directa, crea un aviso en la
bandeja de entrada de cada persona a la que toca, y el primer canal que pueda se lo lleva: WebSocket, SSE o correo. Lo
escribes en el paquete `plaza/`:

    TODO 21    notices.py     llevar un aviso a quien está conectado
    TODO 22    tasks.py       el relevo: que ninguna tarea se quede sin encolar
    TODO 23    handlers.py    la tarea que crea los avisos

El mensaje y su tarea se guardan en la misma transacción (tabla `tasks`): si hay mensaje, hay tarea. El obrero
(`plaza.tasks:broker`) la hace al menos una vez.

- Se avisa a quien se menciona y es miembro de la sala; nunca a quien escribe. En una sala directa, a la otra persona.
- Si la tarea se hace dos veces, hay un aviso. Si el obrero muere a mitad, o Redis pierde la cola, también.
- `delivered_by` dice la verdad: `websocket` si salió por un WebSocket; si no lo hay, o no sale en `PLAZA_SEND_SECONDS`,
  `sse`; si nadie ha podido en `PLAZA_EMAIL_AFTER_SECONDS`, `email`. Solo uno lo lleva.
- `GET /events/notifications` con `Last-Event-ID` cuenta antes los avisos posteriores a ese, fuera cual fuera su canal.

    ← {"type":"notification","id":7,"kind":"mention","room":1,"message":912,"text":"ana en general: hola @luis",…}
    GET /api/notifications    [{"id":7,"kind":"mention",…,"delivered_by":"websocket","task":"…"}]
    GET /api/tasks/{task}     {"id":"…","status":"done","progress":1.0,"error":null}

Variables de entorno: `DATABASE_URL`, `REDIS_URL`, `SMTP_URL`, `PLAZA_SEND_SECONDS` (5) y
`PLAZA_EMAIL_AFTER_SECONDS` (30).
"""

from plaza.main import app
from plaza.tasks import broker

__all__ = ["app", "broker"]
