"""10.1 El chat

Plaza está casi hecha: cuentas, salas, moderación y páginas funcionan. Falta lo que la hace un chat: que un mensaje
llegue a todos, en orden, una vez, y que quien se corta recupere lo que se perdió. Lo escribes en el paquete `plaza/`:

    TODO 11, 12    hub.py        la bandeja de salida de cada conexión, y quien la vacía
    TODO 13        journal.py    guardar una tanda de mensajes, numerados sin huecos
    TODO 14        feed.py       repartir en orden lo que cuenta el bus
    TODO 15, 16    chat.py       decir algo; recuperar lo perdido

El protocolo está en la lección. Lo que se comprueba de él en esta etapa:

    → {"type":"join","room":1,"position":{"epoch":"…","seq":41}}      position, solo si vuelves
    ← {"type":"joined","room":1,"epoch":"…","seq":45,"recovered":true,…}     y detrás, lo que te perdiste
    → {"type":"send","room":1,"text":"hola","client_id":"c1"}
    ← {"type":"ack","client_id":"c1","room":1,"seq":46,"id":912}
    ← {"type":"message","id":912,"room":1,"seq":46,"user":"ana","text":"hola",…}      a todos, y a quien lo envía

- `seq` es propio de cada sala y no tiene huecos. Todos reciben lo mismo y en el mismo orden, con uno o más procesos.
- El mismo `client_id` de la misma persona es un solo mensaje, y recibe siempre el mismo recibo.
- Un mensaje con recibo está en PostgreSQL: sobrevive a `kill -9`.
- `recovered` es true si lo que sigue es todo lo que falta; false si no se puede (otra época, más de
  `PLAZA_HISTORY_EVENTS` atrás, o más allá del último); null si no diste posición. Si lo que falta no cabe en la
  bandeja, quien llama a tu TODO 16 lo convierte en false.
- Lo que se junta para una conexión sale en una trama, una línea JSON por suceso.
- Una bandeja que pasa de `PLAZA_OUTBOX_BYTES`, o un envío que pasa de `PLAZA_SEND_SECONDS`, cierra esa conexión con
  4008. A los demás no se les nota.

Variables de entorno: `DATABASE_URL`, `REDIS_URL`, `PLAZA_HISTORY_EVENTS` (1000), `PLAZA_OUTBOX_BYTES` (1048576) y
`PLAZA_SEND_SECONDS` (5). Para verla funcionar: `python3 curso.py proyecto --de ejercicios`.
"""

from plaza.main import app

__all__ = ["app"]
