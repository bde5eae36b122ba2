"""Lo que un control sabe leer de /metrics: series, límites de cubos y convenciones."""

import pytest

from taller.checking.metrics import has_metrics, lint, parse
from taller.wire import Mismatch

PAGE = """\
# HELP jobs_total Trabajos.
# TYPE jobs_total counter
jobs_total{status="ok",kind="a"} 3.0
# HELP jobs_open Trabajos abiertos.
# TYPE jobs_open gauge
jobs_open 2.0
# HELP job_seconds Lo que duran.
# TYPE job_seconds histogram
job_seconds_bucket{le="0.5"} 1.0
job_seconds_bucket{le="+Inf"} 2.0
job_seconds_count 2.0
job_seconds_sum 3.5
"""


def page(name: str, kind: str, help_text: str = "Algo.") -> str:
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{name} 1.0\n"


def test_series_have_their_labels_in_order() -> None:
    found = parse(PAGE)
    assert found['jobs_total{kind="a",status="ok"}'] == 3.0
    assert found["jobs_open"] == 2.0
    assert found.bounds("job_seconds") == [0.5]
    assert list(lint(found)) == []
    has_metrics(found, {"jobs_total": "counter", "jobs_open": "gauge", "job_seconds": "histogram"})


def test_a_missing_series_says_what_there_is_instead() -> None:
    with pytest.raises(Mismatch) as caught:
        parse(PAGE)['jobs_total{kind="b",status="ok"}']
    assert 'jobs_total{kind="a",status="ok"}' in caught.value.received


def test_what_is_not_a_page_of_metrics() -> None:
    with pytest.raises(Mismatch) as caught:
        parse('{"jobs": 3}')
    assert "no se entienden" in caught.value.received


def test_a_metric_with_another_type_or_another_name() -> None:
    with pytest.raises(Mismatch) as caught:
        has_metrics(parse(page("jobs_open", "counter")), {"jobs_open": "gauge"})
    assert caught.value.received == "un counter"
    with pytest.raises(Mismatch) as caught:
        has_metrics(parse(page("jobs_open_total", "gauge")), {"jobs_open": "gauge"})
    assert caught.value.received == "en su lugar, jobs_open_total (gauge)"


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("jobs_open_total", "gauge", "_total es de los contadores"),
        ("jobsOpen", "gauge", "solo minúsculas"),
        ("job_wait_ms", "gauge", "la unidad base es seconds"),
        ("queue_megabytes", "gauge", "la unidad base es bytes"),
        ("jobs_gauge", "gauge", "el tipo no va en el nombre"),
        ("jobs_count", "gauge", "_count es de los histogramas"),
    ],
)
def test_lint(name: str, kind: str, problem: str) -> None:
    (found,) = lint(parse(page(name, kind)))
    assert problem in found


def test_lint_wants_help() -> None:
    (found,) = lint(parse("# HELP jobs_open \n# TYPE jobs_open gauge\njobs_open 1.0\n"))
    assert "ayuda" in found


def test_lint_wants_total_in_counters() -> None:
    assert any("acaba en _total" in problem for problem in lint(parse("# TYPE jobs counter\njobs_total 1.0\n")))
