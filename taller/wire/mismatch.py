"""El fallo de un control: lo que se esperaba y lo que llegó."""


class Mismatch(AssertionError):
    """Lo que llegó por el cable no es lo que dice el enunciado. Los dos textos son para el estudiante."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"se esperaba {expected}; llegó {received}")
        self.expected, self.received = expected, received
