"""Plaza: chat, tablero en vivo y notificaciones en una sola aplicación.

Cada módulo se lee solo. De abajo arriba:

    settings · database + migrations · metrics · logs      lo que todos usan
    sessions · accounts · access                           quién eres y qué puedes
    bus · journal · feed · hub                             un mensaje, de la base de datos a cada conexión
    rooms · moderation · messages                          las rutas de las salas
    presence · limits · cache                              lo que vive en Redis
    notifications · tasks                                  los avisos y el obrero que los crea
    chat · dashboard · health                              WebSocket, SSE y salud
    plaza · drain · main                                   todo junto, y cómo se apaga
"""
