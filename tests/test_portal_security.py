"""El portal solo atiende a su propia página: ni a otro nombre de servidor ni a otro origen."""

import socket
from collections.abc import Iterator

import pytest
from conftest import CourseCopy
from portal_process import Portal, portal_on

ACTIONS = [
    ("POST", "/api/exercises/2.1/check"),
    ("POST", "/api/exercises/2.1/reset"),
    ("POST", "/api/exercises/2.1/solution"),
    ("POST", "/api/exercises/2.1/checks/1/hints"),
    ("POST", "/api/demos/02_websockets"),
    ("DELETE", "/api/demos/02_websockets"),
    ("GET", "/api/events"),
]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, course_copy: CourseCopy) -> Iterator[Portal]:
    with portal_on(course_copy(tmp_path_factory.mktemp("security"))) as running:
        yield running


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "", "localhost"])
@pytest.mark.parametrize("path", ["/", "/static/portal.js", "/api/events"])
def test_another_host_name_is_refused(portal: Portal, host: str, path: str) -> None:
    answer = portal.http.get(path, headers={"Host": host.format(port=portal.port)})
    assert answer.status_code == 403
    assert "solo se abre desde esta máquina" in answer.text


def test_both_local_names_are_accepted(portal: Portal) -> None:
    for host in (f"127.0.0.1:{portal.port}", f"localhost:{portal.port}"):
        assert portal.http.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "https://localhost:{port}", "null"])
@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_another_page_cannot_act_or_listen(portal: Portal, method: str, path: str, origin: str) -> None:
    answer = portal.http.request(method, path, headers={"Origin": origin.format(port=portal.port)})
    assert answer.status_code == 403
    assert "viene de otra página" in answer.text
    assert "access-control-allow-origin" not in answer.headers


def test_a_refused_action_does_nothing(portal: Portal) -> None:
    file = portal.student_file()
    before = file.read_text(encoding="utf-8")
    file.write_text(before + "# mío\n", encoding="utf-8")
    portal.http.post("/api/exercises/2.1/reset", headers={"Origin": "http://evil.example"})
    assert file.read_text(encoding="utf-8") == before + "# mío\n"
    portal.http.post("/api/exercises/2.1/reset", headers={"Origin": portal.url})
    assert file.read_text(encoding="utf-8") == before


def test_preflight_gets_no_permission(portal: Portal) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = portal.http.options("/api/exercises/2.1/check", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/leccion/02_websockets", "/static/portal.css", "/nada", "/api/nada"])
def test_every_answer_carries_its_protection(portal: Portal, path: str) -> None:
    headers = portal.http.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_listens_on_loopback_only(portal: Portal) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    assert own != "127.0.0.1", "esta máquina no tiene otra dirección con la que probarlo"
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((own, portal.port), timeout=2)
