"""Un control fallido en texto: qué se esperaba, qué llegó, la pista y la transcripción."""

from collections.abc import Iterator

from taller.verdicts import CheckVerdict, Entry

ARROWS = {"note": "·", "log": "│", "signal": "⚡", "close": "✕"}


def failure_text(verdict: CheckVerdict) -> str:
    return "\n".join(_failure_lines(verdict))


def _failure_lines(verdict: CheckVerdict) -> Iterator[str]:
    yield f"{verdict.number}. {verdict.title}" + (f"  (TODO {verdict.todo})" if verdict.todo else "")
    yield f"   Se esperaba  {verdict.expected}"
    yield f"   Llegó        {verdict.received}"
    for misconception in verdict.misconceptions:
        yield f"   Puede ser    {misconception}"
    if verdict.hint:
        yield f"   Pista        {verdict.hint}"
    if verdict.section:
        yield f"   Lección      {verdict.section}"
    if verdict.transcript:
        yield "   Lo que pasó:"
        yield from (f"     {line}" for line in transcript_lines(verdict.transcript))


def transcript_lines(entries: list[Entry]) -> Iterator[str]:
    """Una línea por mensaje: milisegundos, quién → quién y qué."""
    width = max((len(f"{entry.source} → {entry.target}") for entry in entries), default=0)
    for entry in entries:
        route = entry.source if entry.source == entry.target else f"{entry.source} → {entry.target}"
        yield f"{entry.t * 1000:7.1f} ms  {route:<{width}}  {ARROWS.get(entry.kind, ' ')} {entry.text}"
