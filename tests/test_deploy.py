"""Lo que docker-compose.yml, el Dockerfile y lo que hay en deploy/ prometen, leído sin ponerlo en marcha."""

import importlib.metadata
import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from compose_file import MissingVariable, env_example, load, stages

from taller.catalog import ROOT, SOURCES

DEPLOY = ROOT / "deploy"
SECRETS = ("PLAZA_SECRET", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "GRAFANA_PASSWORD")
FILLED = dict.fromkeys(SECRETS, "x" * 32)
COMPOSE = load(FILLED)
SERVICES: dict[str, Any] = COMPOSE["services"]
each_service = pytest.mark.parametrize("name", SERVICES)

IMPORT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
absent = set(json.load(sys.stdin))

class OnlyWhatTheImageHas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} no está en la imagen", name=name)

sys.meta_path.insert(0, OnlyWhatTheImageHas())
for name in ("plaza.main", "plaza.tasks", "plaza.migrations", "taskiq.cli.worker.run", "asyncpg", "uvloop"):
    importlib.import_module(name)
"""


@pytest.mark.parametrize("name", SECRETS)
def test_without_a_secret_it_does_not_start(name: str) -> None:
    with pytest.raises(MissingVariable, match=name):
        load({**FILLED, name: ""})


def test_the_example_has_every_variable_and_no_secret() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)", text)) == set(env_example())
    assert [name for name in SECRETS if env_example()[name]] == []
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@each_service
def test_a_service_has_as_little_as_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@each_service
def test_an_image_is_always_the_same(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image == "plaza:soluciones" or re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), image


@each_service
def test_a_service_says_how_it_is_and_its_followers_wait(name: str) -> None:
    service = SERVICES[name]
    if name != "migrate":
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    for other, wait in service.get("depends_on", {}).items():
        once = SERVICES[other].get("restart") == "no"
        assert wait["condition"] == ("service_completed_successfully" if once else "service_healthy")


def test_migrations_run_once_before_whoever_needs_them() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert "replicas" not in SERVICES["migrate"]["deploy"]
    assert all("migrate" in SERVICES[name]["depends_on"] for name in ("web", "worker"))


def test_networks_keep_the_street_away_from_the_data() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks["nginx"] & networks["web"]
    for name in ("postgres", "valkey"):
        assert not networks[name] & networks["nginx"]
        assert all(COMPOSE["networks"][each].get("internal") for each in networks[name])
    for name, service in SERVICES.items():
        published = service.get("ports", [])
        assert name == "nginx" or all(port.startswith("127.0.0.1:") for port in published), name
        assert not published or not all(COMPOSE["networks"][each].get("internal") for each in networks[name]), name


def test_the_files_it_mounts_exist() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), mount


def test_the_image_can_be_of_the_solution_or_of_the_student() -> None:
    assert set(SOURCES) <= set(stages())
    for source, folder in SOURCES.items():
        assert load({**FILLED, "PLAZA": source})["services"]["web"]["build"]["target"] == source
        assert stages()[source].copies == ((f"{folder}/10_proyecto/plaza", "./plaza"),)
        assert f"!{folder}/10_proyecto/plaza" in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")


def test_the_image_has_the_versions_of_the_course_and_all_that_plaza_imports() -> None:
    inside, pinned = (set(_pins(path)) for path in (DEPLOY / "requirements.lock", ROOT / "requirements.lock"))
    assert inside <= pinned
    names = {name for name, _ in inside}
    owners = importlib.metadata.packages_distributions()
    absent = [module for module, found in owners.items() if not names & {_normal(each) for each in found}]
    assert {"jupyter", "pytest"} <= set(absent)
    code = [sys.executable, "-c", IMPORT, str(ROOT / "solutions" / "10_proyecto")]
    ended = subprocess.run(code, input=json.dumps(absent), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def _pins(path: Any) -> list[tuple[str, str]]:
    found = re.findall(r"(?m)^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"))
    return [(_normal(name), version) for name, version in found]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_prometheus_asks_whom_there_is() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    targets = {dns["names"][0]: dns["port"] for job in jobs for dns in job["dns_sd_configs"]}
    assert f"--port={targets['web']}" in SERVICES["web"]["command"]
    assert SERVICES["worker"]["environment"]["PLAZA_METRICS_PORT"] == str(targets["worker"])
    assert all("metrics" in SERVICES[name]["networks"] for name in [*targets, "prometheus"])


def test_alerts_and_dashboard_are_well_formed() -> None:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    expressions = [rule["expr"] for rule in group["rules"]]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in group["rules"])
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "plaza.json").read_text(encoding="utf-8"))
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    known = {source["uid"] for source in sources["datasources"]}
    for panel in board["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} <= known
        expressions += [target["expr"] for target in panel["targets"]]
    for expression in expressions:
        assert expression.count("(") == expression.count(")"), expression
        # Un contador se mira por lo que crece; un total a secas solo sube.
        assert "_total" not in expression or re.search(r"(rate|increase)\(", expression), expression
