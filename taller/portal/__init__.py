"""El curso en una página web: lecciones, mini-apps y veredictos en vivo.

Solo escucha en esta máquina. `serve_portal` lo sirve hasta Ctrl+C; `create_app` monta la app con sus piezas.
"""

from taller.portal.app import create_app
from taller.portal.server import PortalError, serve_portal

__all__ = ["PortalError", "create_app", "serve_portal"]
