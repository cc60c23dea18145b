"""Templates keep to the Content-Security-Policy and name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "dashboards" / "static"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_inline(path):
    text = re.sub(r"{%.*?%}|{{.*?}}", "", path.read_text(), flags=re.DOTALL)  # such as {% with one=… %}

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not [tag for tag in re.findall(r"<script[^>]*>", text) if " src=" not in tag]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_icons_that_are_named_exist(path):
    text = path.read_text()
    (sprite,) = (STATIC / "vendor").glob("icons-*.svg")
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', sprite.read_text()))

    assert [name for name in re.findall(r"{% static '([^']+)'", text) if finders.find(name) is None] == []
    assert set(re.findall(r'{% icon "([a-z]+)"', text)) <= drawn


@pytest.mark.parametrize(
    "path",
    TEMPLATES,
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_dollars_of_a_column_have_one_precision(path):
    cells = re.findall(r"<td\b.*?</td>", path.read_text(), flags=re.DOTALL)
    figures = [re.sub(r'<span class="tk-sub".*?</span>', "", cell, flags=re.DOTALL) for cell in cells]

    assert [figure for figure in figures if re.search(r"\|usd(_short)? }}", figure)] == []


def test_the_sprite_of_the_icon_tag_exists():
    source = (ROOT / "dashboards" / "templatetags" / "console.py").read_text()
    (name,) = re.findall(r'^SPRITE = "(.+)"$', source, re.MULTILINE)

    assert (STATIC / name).is_file()
