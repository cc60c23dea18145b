"""The wheel, by itself: all of the conformance vectors, without the repository and without the house."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tollkeeper_client.__main__ import main

from tests.clients.python.far_side import document, given, problem
from tests.running import ROOT

CLIENT = ROOT / "clients/python"
BUILD = "from setuptools import build_meta; import sys; build_meta.build_wheel(sys.argv[1])"
# Runs where nothing but the wheel is the package's: no repository on the path.
VECTORS = """
import json, sys
from datetime import datetime
from pathlib import Path
import tollkeeper_client
from tollkeeper_client.rules import document, evaluator

spec = Path(sys.argv[1])
assert Path(tollkeeper_client.__file__).is_relative_to(sys.argv[2]), tollkeeper_client.__file__
assert not Path(evaluator.__file__).is_symlink()
run = 0
for path in sorted((spec / "cases").glob("*.json")):
    for case in json.loads(path.read_text())["cases"]:
        assert document.schema_problems("document", case["document"]) == [], case["title"]
        decision = evaluator.compile(case["document"]).decide(case["context"], datetime.fromisoformat(case["now"]))
        decided = decision._asdict() | {"fallbacks": list(decision.fallbacks), "params": dict(decision.params)}
        assert {name: decided[name] for name in case["expect"]} == case["expect"], case["title"]
        run += 1
for case in json.loads((spec / "refused.json").read_text())["cases"]:
    assert bool(document.schema_problems("document", case["document"])) == case["refused"], case["title"]
    run += 1
for case in json.loads((spec / "canonical.json").read_text())["cases"]:
    assert document.canonical(case["content"]).decode() == case["canonical"], case["title"]
    run += 1
for case in json.loads((spec / "hash.json").read_text())["cases"]:
    name, colon, key = case["text"].partition(":")
    assert not colon or evaluator.split(name, key) == case["place"], case["text"]
    run += 1
house = {"django", "routing", "usage", "core", "langchain_core", "cryptography"} & set(sys.modules)
assert not house, house
print(run)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build from a copy in which the links lead where they lead in the repository, so that nothing is left behind."""
    root = tmp_path_factory.mktemp("wheel")
    subprocess.run(["cp", "-R", "-P", str(CLIENT), str(root / "python")], check=True)
    (root / "clients").mkdir()
    (root / "python").rename(root / "clients" / "python")
    (root / "routing").symlink_to(ROOT / "routing")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, str(root)],
        cwd=root / "clients" / "python", check=True, capture_output=True,
    )  # fmt: skip
    [found] = root.glob("*.whl")
    return found


def test_the_wheel_decides_every_vector_without_the_repository(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()

    ran = subprocess.run(
        [sys.executable, "-c", VECTORS, str(ROOT / "routing/spec"), str(tmp_path)],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 600
    assert "tollkeeper_client/py.typed" in names


def test_the_files_that_decide_are_those_of_the_house():
    package = CLIENT / "src" / "tollkeeper_client"

    links = {path.name: path.resolve() for path in package.rglob("*") if path.is_symlink()}

    assert links == {
        name: ROOT / "routing" / place / name
        for place, names in (
            ("rules", ["evaluator.py", "conditions.py", "labelling.py", "labelling_words.py", "document.py"]),
            ("spec", ["document.schema.json", "content.schema.json", "context.schema.json"]),
        )
        for name in names
    }


@pytest.fixture
def around(monkeypatch, far_side, tmp_path):
    for name, value in {"URL": far_side.url, "KEY": "a-key", "CLIENT_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"TOLLKEEPER_{name}", value)


def test_check_says_whether_address_key_and_environment_work(around, far_side, capsys):
    far_side.answers(given(document()), problem(403))

    codes = [main(["check"]), main(["check"])]

    said = capsys.readouterr()
    assert codes == [0, 1]
    assert said.out == "production: rules 1.1 are in force, and this client can run them.\n"
    assert "the key may not read rules of production" in said.err
    assert "Rules 1.1 are kept from before and go on deciding." in said.err


def test_decide_explains_and_status_tells_what_is_on_disk(around, far_side, capsys):
    far_side.answers(given(document()))

    codes = [main(["decide", '{"task": "code"}']), main(["status"]), main(["decide", "nonsense"])]

    said = capsys.readouterr()
    assert codes == [0, 0, 2]
    assert '"rule": "code"' in said.out
    assert '"from_disk": true' in said.out
    assert "Not JSON" in said.err


def test_a_missing_setting_is_named(capsys):
    assert main(["check"]) == 2
    assert "TOLLKEEPER_URL" in capsys.readouterr().err
