"""Code of others is exactly what VENDOR.md says, and nothing else lies beside it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
VENDOR = DASHBOARDS / "static" / "vendor"
ROW = re.compile(r"^\| (?P<file>\S+) \| .+ \| (?P<version>\S+) \| \S+ \| `(?P<sum>[0-9a-f]{64})` \|$", re.MULTILINE)


def listed() -> dict[str, tuple[str, str]]:
    text = (VENDOR / "VENDOR.md").read_text()
    return {row["file"]: (row["version"], row["sum"]) for row in ROW.finditer(text)}


def test_every_file_has_the_checksum_and_the_version_that_are_listed():
    for file, (version, checksum) in listed().items():
        assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == checksum, file
        assert f"-{version}." in file


def test_nothing_lies_there_that_is_not_listed():
    papers = {"VENDOR.md", "LICENSES.txt"}

    assert {path.name for path in VENDOR.iterdir()} == set(listed()) | papers


def test_versions_are_those_of_the_lock_file():
    lock = json.loads((DASHBOARDS / "assets" / "package-lock.json").read_text())
    locked = {package["version"] for name, package in lock["packages"].items() if name}

    assert {version for version, _ in listed().values()} <= locked


def test_the_lock_file_does_not_say_where_packages_were_fetched_from():
    lock = json.loads((DASHBOARDS / "assets" / "package-lock.json").read_text())

    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_nothing_evaluates_strings_or_asks_for_a_source_map():
    for path in VENDOR.glob("plotly-*.js"):
        assert not re.search(r"\bnew Function\(|[^\w.]eval\(", path.read_text())
    for path in VENDOR.iterdir():
        assert "sourceMappingURL" not in path.read_text()
