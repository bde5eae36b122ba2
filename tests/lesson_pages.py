"""La página de una mini-app en un navegador real, para las pruebas de las lecciones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize


@contextmanager
def opened(
    browser: Browser, address: str, deadline_ms: float, size: ViewportSize, *, dark: bool = False, **options: Any
) -> Iterator[Page]:
    """Abre `http://{address}/` en una pestaña nueva, y al salir exige que no haya fallado nada por dentro."""
    context = browser.new_context(viewport=size, locale="es", color_scheme="dark" if dark else "light", **options)
    context.set_default_timeout(deadline_ms)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://{address}/")
    try:
        yield page
    finally:
        context.close()
    assert errors == []
