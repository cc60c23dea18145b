"""`manage.py rules`: files of rules, exit codes that CI can go by, and no way past approval."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from core.models import AuditEntry
from routing.models import Approval, Contribution, Environment, Proposal
from routing.rules import document, texts
from routing.services import proposals
from tests.controlplane.conftest import bare_environment
from tests.factories import make_user
from tests.routing.making import (
    CHEAP,
    LEAD,
    MIDDLE,
    NOON,
    OPUS,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


class Ran:
    def __init__(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        self.code = 0
        try:
            call_command("rules", *arguments, stdout=out, stderr=err, no_color=True)
        except SystemExit as stopped:
            self.code = stopped.code
        except CommandError as error:
            self.code = error.returncode
            err.write(str(error))
        self.out, self.err = out.getvalue(), err.getvalue()


@pytest.fixture
def live(transactional_db):
    stock()
    return make_version(make_content(make_rule(), make_rule("second", use_cases=["chat"])))


@pytest.fixture
def file(tmp_path):
    def write(content, name="rules.yaml"):
        path = tmp_path / name
        form = texts.guessed("", name)
        path.write_text(content if isinstance(content, str) else texts.written(content, form), encoding="utf-8")
        return str(path)

    return write


def changed(**overrides):
    return make_content(make_rule(**overrides), make_rule("second", use_cases=["chat"]))


# --- Export


@pytest.mark.parametrize("name", ["rules.yaml", "rules.json"])
def test_what_is_exported_has_the_bytes_and_the_hash_of_the_version(live, tmp_path, name):
    path = tmp_path / name

    ran = Ran("export", "production", "-o", str(path))

    content, wrong = texts.read(path.read_text(), texts.guessed("", name))
    assert (ran.code, ran.out, wrong) == (0, "", [])
    assert document.canonical(content) == bytes(live.canonical)
    assert document.sha256(document.canonical(content)) == bytes(live.sha256)
    assert Ran("diff", str(path), "production").code == 0


def test_an_older_version_and_a_draft_are_exported_too(live):
    make_version(changed(title="newer"))
    draft = make_draft(changed(title="not yet"))

    assert "title: newer" in Ran("export", "production").out
    assert "title" not in Ran("export", "production", "--version", "1", "--format", "json").out
    assert "title: not yet" in Ran("export", "production", "--draft", str(draft.pk)).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["staging"], "There is no environment staging; there is production."),
        (["production", "--version", "9"], "There is no version 9 of production."),
        (["production", "--draft", "99999"], "There is no draft 99999 in production."),
        (["production", "-o", "/no/such/place"], "/no/such/place cannot be written"),
    ],
)
def test_what_is_not_there_to_export_ends_with_two_and_a_sentence(live, arguments, said):
    ran = Ran("export", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


# --- Validate


def test_a_file_that_can_be_submitted_ends_with_nought(live, file):
    ran = Ran("validate", file(changed()), "--environment", "production")

    assert (ran.code, ran.out) == (0, "")
    assert "2 rules, can be submitted" in ran.err


def test_all_that_is_wrong_is_said_at_once_each_with_its_line(live, file):
    path = file(
        "rules:\n"
        "- id: code-high\n"
        "  targets:\n"
        "  - {offering: nobody@nowhere, weight: 9000}\n"
        "  rationale: why\n"
        "  owner: platform\n"
        "default:\n"
        f"  targets: [{{offering: {MIDDLE}, weight: 10000}}]\n"
    )

    ran = Ran("validate", path)

    assert ran.code == 1
    assert [line.removeprefix(path) for line in ran.out.splitlines()] == [
        ":2: say by when this rule is looked at again (/rules/0/review_by)",
        ":3: the weights sum to 9000, not to 10000 (/rules/0/targets)",
        ":4: the catalogue has no offering nobody@nowhere (/rules/0/targets/0/offering)",
    ]
    assert f"{path}: 3 things wrong." in ran.err


def test_a_broken_file_is_invalid_and_one_that_is_not_there_cannot_be_read(live, file, tmp_path):
    broken = Ran("validate", file('{"rules": [1.5, 2.5e3], "rules": []}', "broken.json"))
    gone = Ran("validate", str(tmp_path / "gone.yaml"), file(changed()))
    (tmp_path / "latin.yaml").write_bytes(b"rules: \xff\n")
    latin = Ran("validate", str(tmp_path / "latin.yaml"))

    assert (broken.code, broken.out.count("broken.json:1: ")) == (1, 3)
    assert (gone.code, latin.code) == (2, 2)
    assert "cannot be read: No such file or directory." in gone.err
    assert "2 rules, can be submitted" in gone.err
    assert "is no text in UTF-8" in latin.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: make_content(*[make_rule(f"rule-{n}") for n in range(501)]), "500"),
        (lambda: changed(when={"any": [{"field": "task", "op": "eq", "value": "a"}] * 51}), "50"),
        (lambda: changed(rationale="x" * 4001), "4000"),
        (lambda: make_content(*[make_rule(f"rule-{n}", rationale="ü" * 1500) for n in range(400)]), "1000000"),
    ],
)
def test_limits_are_named_with_their_number(live, file, content, said):
    path = file(content())

    online, offline = Ran("validate", path), Ran("validate", path, "--schema-only")

    assert (online.code, offline.code) == (1, 1)
    assert said in online.out.replace(",", "")
    assert said in offline.out.replace(",", "")


def test_without_a_catalogue_all_that_needs_none_is_checked(file):
    good = Ran("validate", file(changed(targets=[{"offering": "any@where", "weight": 10000}])), "--schema-only")
    bad = Ran("validate", file(changed(targets=[{"offering": "any@where", "weight": 9000}], owner="")), "--schema-only")

    assert (good.code, good.out) == (0, "")
    assert (bad.code, len(bad.out.splitlines())) == (1, 2)
    assert "the weights sum to 9000" in bad.out
    assert "say who answers for this rule" in bad.out


# --- Diff


def test_a_difference_is_said_in_plain_words_and_ends_with_one(live, file):
    path = file(changed(targets=[{"offering": OPUS, "weight": 5000}, {"offering": CHEAP, "weight": 5000}]))

    text = Ran("diff", path, "production")
    markdown = Ran("diff", path, "production", "--format", "markdown")
    as_json = Ran("diff", path, "production", "--format", "json")

    assert [one.code for one in (text, markdown, as_json)] == [1, 1, 1]
    assert text.out.splitlines()[0] == "Against version 1 of production:"
    assert f"- rule code-high: {CHEAP} added with 50 %" in text.out.splitlines()
    assert "**Rules, against version 1 of production:**" in markdown.out
    assert "deepseek-v4-flash\\@deepseek added with 50 %" in markdown.out
    read = json.loads(as_json.out)
    assert (read["same"], read["version"]) == (False, 1)
    assert f"rule code-high: {CHEAP} added with 50 %" in read["changes"]


def test_markup_in_a_rule_does_not_reach_a_comment(live, file):
    ran = Ran("diff", file(changed(title="<img src=x> [a](b) `c` @all\n# d")), "production", "--format", "markdown")

    assert "\\<img src=x\\> \\[a\\](b) \\`c\\` \\@all \\# d" in ran.out


def test_the_same_ends_with_nought_whatever_its_layout(live, file):
    content = document.parse(bytes(live.canonical))
    shuffled = {name: content[name] for name in ("offerings", "default", "rules")}

    same = Ran("diff", file(json.dumps(shuffled), "rules.json"), "production")
    without_offerings = Ran("diff", file(changed()), "production", "--version", "1", "--format", "json")
    only_layout = Ran("diff", file(changed(use_default=True)), "production")

    assert (same.code, same.out.strip()) == (0, "The same as version 1 of production.")
    assert (without_offerings.code, json.loads(without_offerings.out)["changes"]) == (0, [])
    assert only_layout.code == 1
    assert "the same is written in another way" in only_layout.out


def test_what_cannot_be_compared_ends_with_two_and_all_reasons(live, file):
    broken = Ran("diff", file("rules: 1.0\ndefault: yes\n"), "production")
    no_rules = Ran("diff", file("rules: []\n"), "production")
    elsewhere = Ran("diff", file(changed()), "staging")

    assert (broken.code, no_rules.code, elsewhere.code) == (2, 2, 2)
    assert [broken.err.count(":1: "), broken.err.count(":2: "), broken.out] == [1, 1, ""]
    assert '"default" is a required property' in no_rules.err


# --- Apply


def test_a_file_becomes_a_draft_once_and_never_a_version(live, file):
    author = make_user("engineer", email="author@example.com")
    path = file(changed(title="From git"))
    arguments = (
        "apply",
        path,
        "production",
        "--draft",
        "--submit",
        "--title",
        "From git",
        "--by",
        "Author@example.com",
    )

    first, again = Ran(*arguments), Ran(*arguments)

    [draft] = Proposal.objects.exclude(pk=Proposal.objects.earliest("id").pk)
    assert (first.code, again.code) == (0, 0)
    assert f"Draft {draft.pk} is started: http://127.0.0.1:8000/rules/production/drafts/{draft.pk}/" in first.out
    assert f"Draft {draft.pk} has this content already" in again.out
    assert "is in review already" in again.out
    assert (draft.state, draft.title, draft.created_by) == ("in_review", "From git", author.email)
    assert Environment.objects.get().live_version == 1


def test_whoever_wrote_a_file_cannot_approve_it(live, file):
    author = make_user("admin", email="author@example.com")
    Ran("apply", file(changed(title="mine")), "production", "--draft", "--submit", "--by", author.email)
    draft = Proposal.objects.latest("id")

    with pytest.raises(proposals.OwnWork):
        proposals.approve(proposal_id=draft.pk, sha256=bytes(draft.sha256).hex(), by=author.email, at=NOON)

    assert not Approval.objects.filter(proposal=draft).exists()


def test_a_service_stands_in_the_audit_trail_by_its_name_and_never_as_a_person_or_a_key(live, file):
    ran = Ran("apply", file(changed(title="by ci")), "production", "--draft", "--by", "ci")
    unnamed = Ran("apply", file(changed(title="by nobody")), "production", "--draft")

    drafts = Proposal.objects.order_by("-id")[:2]
    assert (ran.code, unnamed.code) == (0, 0)
    assert [draft.created_by for draft in drafts] == ["manage.py rules", "service:ci"]
    assert list(Contribution.objects.filter(proposal=drafts[1]).values_list("by", flat=True)) == ["service:ci"]
    assert AuditEntry.objects.filter(actor="service:ci", table="routing_proposal").exists()


@pytest.mark.parametrize("by", ["nobody@example.com", "viewer@example.com", "key:ci", "a b", ""])
def test_a_stranger_and_whoever_may_not_write_drafts_is_refused(live, file, by):
    make_user("viewer", email="viewer@example.com")

    ran = Ran("apply", file(changed(title="x")), "production", "--draft", "--by", by)

    assert ran.code == 2
    assert Proposal.objects.count() == 1


def test_a_draft_is_updated_unless_somebody_else_worked_on_it(live, file):
    Ran("apply", file(changed(title="one")), "production", "--draft", "--by", "ci")
    draft = Proposal.objects.latest("id")
    arguments = ("production", "--draft", str(draft.pk), "--by", "ci")

    mine = Ran("apply", file(changed(title="two")), *arguments)
    draft.refresh_from_db()
    proposals.save(proposal_id=draft.pk, saves=draft.saves, by=LEAD, at=NOON, content=changed(title="by hand"))
    theirs = Ran("apply", file(changed(title="three")), *arguments)
    stale = Ran("apply", file(changed(title="three")), *arguments, "--saves", "1")
    draft.refresh_from_db()
    kept = draft.content["rules"][0]["title"]
    over = Ran("apply", file(changed(title="three")), *arguments, "--saves", str(draft.saves))

    assert (mine.code, theirs.code, stale.code, over.code) == (0, 1, 1, 0)
    assert f"{LEAD} worked on draft {draft.pk} too" in theirs.err
    assert f"--saves {draft.saves}" in theirs.err
    assert kept == "by hand"
    draft.refresh_from_db()
    assert draft.content["rules"][0]["title"] == "three"


def test_what_is_in_force_needs_no_draft(live, file):
    ran = Ran("apply", file(changed()), "production", "--draft")

    assert (ran.code, ran.out.strip()) == (0, "Version 1 is in force with this content: there is nothing to do.")
    assert Proposal.objects.count() == 1


def test_a_draft_from_before_another_version_is_not_taken_for_this_one(live, file):
    path = file(changed(title="x"))
    Ran("apply", path, "production", "--draft", "--by", "ci")
    make_version(changed(title="between"))

    again = Ran("apply", path, "production", "--draft", "--by", "ci")

    assert "is started" in again.out
    assert Proposal.objects.latest("id").base_version == 2


def test_what_breaks_the_schema_makes_no_draft_and_what_cannot_work_stays_one(live, file):
    broken = Ran("apply", file("rules: []\ndefault: {targets: []}\n"), "production", "--draft")
    unready = Ran("apply", file(changed(owner="")), "production", "--draft", "--submit")

    assert (broken.code, unready.code) == (1, 1)
    assert "rules.yaml:2: " in broken.err
    assert "say who answers for this rule" in unready.err
    draft = Proposal.objects.latest("id")
    assert f"Draft {draft.pk} is started" in unready.out
    assert (draft.state, Proposal.objects.count()) == ("draft", 2)


def test_a_file_may_come_on_standard_input(live, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(texts.written(changed(), texts.YAML).encode())))

    ran = Ran("diff", "-", "production")

    assert ran.code == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["apply", "x", "production"], ["diff", "x"], ["export", "production", "--version", "no"],
     ["apply", "x", "production", "--draft", "0"], ["export", "production", "--version", "1", "--draft", "1"]],
)  # fmt: skip
def test_a_command_that_is_written_wrongly_is_refused(arguments):
    with pytest.raises(CommandError):
        call_command("rules", *arguments)


# --- As processes


def run(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "rules", *arguments],
        cwd=cwd, env=bare_environment(**environment), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_schema_is_checked_on_a_machine_that_has_nothing_else(tmp_path, file):
    bare = {"TOLLKEEPER_DATA_DIR": str(tmp_path / "nothing")}

    good = run("validate", "--schema-only", file(changed()), **bare)
    bad = run("validate", file(changed(owner="")), "--schema-only", **bare)
    online = run("diff", file(changed()), "production", **bare)

    assert (good.returncode, bad.returncode, online.returncode) == (0, 1, 2)
    assert "say who answers for this rule" in bad.stdout
    assert "Traceback" not in good.stderr + bad.stderr + online.stderr


def test_a_database_that_is_not_there_is_an_error_and_no_difference(file, tmp_path):
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9",
        "TOLLKEEPER_SECRET_KEY": "x", "TOLLKEEPER_ENCRYPTION_KEYS": os.environ["TOLLKEEPER_ENCRYPTION_KEYS"],
    }  # fmt: skip

    ran = run("diff", file(changed()), "production", **settings)

    assert ran.returncode == 2
    assert "The database does not answer" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.django_db(transaction=True)
def test_the_example_of_the_readme_runs_as_it_is_written(live, tmp_path):
    author = make_user("engineer", email="author@example.com")
    section = (ROOT / "README.md").read_text().split("### Rules in git")[1]
    script = re.search(r"```sh\n(.*?)```", section, re.S)[1]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "production.yaml").write_text(texts.written(changed(title="by CI"), texts.YAML))
    (tmp_path / "tollkeeper").symlink_to(ROOT)
    info = connection.connection.info
    url = f"postgresql://{info.user}:{info.password}@/{info.dbname}?host={info.host}&port={info.port}"

    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "DATABASE_URL": url, "AUTHOR": author.email,
             "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "by CI" in (tmp_path / "changes.md").read_text()
    assert (Proposal.objects.latest("id").state, Proposal.objects.latest("id").created_by) == (
        "in_review",
        author.email,
    )
