"""Settings come from the environment: every variable is described, and a bad value stops the start."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.env import BadEnvironment, Environment

ROOT = Path(__file__).resolve().parents[2]
HELPERS = {"text", "words", "flag", "integer", "key", "url"}


def read_by_settings() -> dict[str, str | None]:
    """Every variable that settings.py reads, with its default as one would write it (None: there is none)."""
    found: dict[str, str | None] = {}
    for node in ast.walk(ast.parse((ROOT / "controlplane" / "settings.py").read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in HELPERS):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"env", "_bare"}):
            continue
        name = ast.literal_eval(node.args[0])
        position = 2 if node.func.attr == "url" else 1
        found[name] = written(node.args[position]) if len(node.args) > position else None
    return found


def written(default: ast.expr) -> str:
    value = eval(compile(ast.Expression(default), "settings.py", "eval"), {"__builtins__": {}})
    return str(value).lower() if isinstance(value, bool) else str(value)


def described() -> dict[str, tuple[bool, str]]:
    """Every variable in .env.example: whether its line is a comment, and its value."""
    rows = re.findall(r"^(#?)([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return {name: (bool(mark), value) for mark, name, value in rows}


def for_compose_alone() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", text.split("Read by docker-compose.yml alone")[1], re.MULTILINE))


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_example_lists_every_variable_that_settings_read_and_no_other():
    assert set(described()) == set(read_by_settings()) | for_compose_alone()


def test_the_example_lists_what_the_containers_read():
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))

    assert asked == for_compose_alone()


def test_the_example_shows_the_real_defaults_and_leaves_open_what_has_none():
    for name, default in read_by_settings().items():
        assert described()[name] == (default is not None, default or ""), name


def test_every_variable_of_the_example_is_explained():
    lines = (ROOT / ".env.example").read_text().splitlines()

    for number, line in enumerate(lines):
        if re.match(r"#?[A-Z][A-Z_]+=", line):
            assert lines[number - 1].startswith("# "), line


def test_nothing_but_the_helpers_reads_the_environment_in_settings():
    assert "os.environ" not in (ROOT / "controlplane" / "settings.py").read_text()
    assert len(read_by_settings()) > 15


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TOLLKEEPER_MAX_BODY_BYTES", "lots", "TOLLKEEPER_MAX_BODY_BYTES: should be a whole number, not 'lots'\n"),
        ("DATABASE_URL", "mysql://db/x", "DATABASE_URL: should start with one of postgres:, postgresql:\n"),
        ("TOLLKEEPER_SIGNING_KEY", "c2hvcnQ=", "TOLLKEEPER_SIGNING_KEY: should be 32 bytes in base64\n"),
    ],
)
def test_a_bad_value_stops_the_start_with_one_sentence_that_names_the_variable(variable, value, says):
    ended = manage("check", **{variable: value})

    assert (ended.returncode, ended.stderr) == (1, says)


def test_a_variable_that_is_required_and_missing_stops_the_start(tmp_path):
    ended = manage("check", TOLLKEEPER_SECRET_KEY="", TOLLKEEPER_DATA_DIR=str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr == "TOLLKEEPER_SECRET_KEY: is required and not set (see .env.example)\n"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", " On "])
def test_a_flag_can_be_set_in_the_ways_people_write(value):
    assert Environment({"X": value}).flag("X", False) is True


@pytest.mark.parametrize("value", ["0", "false", "NO", "off"])
def test_a_flag_can_be_unset_in_the_ways_people_write(value):
    assert Environment({"X": value}).flag("X", True) is False


@pytest.mark.parametrize("value", ["maybe", "2", "truee"])
def test_a_flag_that_is_neither_is_refused(value):
    with pytest.raises(BadEnvironment, match="X: should be true or false"):
        Environment({"X": value}).flag("X", False)


def test_a_number_below_its_least_value_is_refused():
    assert Environment({"X": "3"}).integer("X", 9, at_least=3) == 3
    with pytest.raises(BadEnvironment, match="X: should be at least 3, not 2"):
        Environment({"X": "2"}).integer("X", 9, at_least=3)


@pytest.mark.parametrize("value", ["-_8" + "A" * 40 + "=", "+/8" + "A" * 40 + "="])
def test_a_key_is_read_from_either_base64(value):
    assert Environment({"X": value}).key("X") == b"\xfb\xff" + bytes(30)


@pytest.mark.parametrize("value", ["A" * 42 + "==", "A" * 44, "A" * 43, "not base64", "ü" * 44])
def test_a_key_that_is_none_is_refused_without_being_repeated(value):
    with pytest.raises(BadEnvironment) as refused:
        Environment({"X": value}).key("X")

    assert str(refused.value) == "X: should be 32 bytes in base64"


def test_words_are_separated_by_commas_and_trimmed():
    assert Environment({"X": " a, b ,,c"}).words("X") == ["a", "b", "c"]


def test_an_empty_variable_counts_as_not_set():
    assert Environment({"X": "  "}).integer("X", 7) == 7
    with pytest.raises(BadEnvironment, match="X: is required"):
        Environment({"X": ""}).text("X")


def test_the_environment_wins_over_what_the_data_directory_supplies():
    supplied = {"X": "theirs", "Y": "theirs"}

    environment = Environment({"X": "ours", "Y": ""}, supplied)

    assert (environment.text("X"), environment.text("Y")) == ("ours", "theirs")


def test_a_bad_address_is_refused_without_repeating_it_because_it_may_hold_a_password():
    with pytest.raises(BadEnvironment) as refused:
        Environment({"X": "mysql://user:geheim@db/x"}).url("X", ("postgresql",))

    assert str(refused.value) == "X: should start with one of postgresql:"
