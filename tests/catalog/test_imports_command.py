"""`manage.py import_prices`, with the installed table and with files."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Price, PriceImport, PriceProposal
from catalog.services import standard
from tests.catalog.importing import proposals
from tests.factories import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def listed(tmp_path):
    """Write a table as LiteLLM has it, of so many models."""

    def write(count, usd_per_token=0.000005):
        entry = {"litellm_provider": "openai", "mode": "chat", "output_cost_per_token": 0.00003}
        table = {f"gpt-{number}": entry | {"input_cost_per_token": usd_per_token} for number in range(count)}
        path = tmp_path / "prices.json"
        path.write_text(json.dumps(table))
        return str(path)

    return write


# genai-prices takes the nights of these two for the ordinary price; the standard catalogue lists the day's.
NIGHTS = {"deepseek-chat@deepseek", "deepseek-reasoner@deepseek"}


def test_the_installed_table_says_what_the_standard_catalogue_says_and_is_read_again_without_a_change(capsys):
    standard.load(by="tests", at=NOON)
    prices = Price.objects.count()

    call_command("import_prices", source="genai-prices")

    said = capsys.readouterr().out
    assert said.startswith("Read 2,")
    assert "Prices in the console" in said
    known = {kind for kind, _, _ in proposals()}
    assert known == {"new", "changed"}, "what the table never listed is not gone from it"
    assert PriceProposal.objects.filter(kind="new").count() > 1_000
    assert set(PriceProposal.objects.filter(kind="changed").values_list("offering_name", flat=True)) == NIGHTS
    assert Price.objects.count() == prices

    before = list(PriceProposal.objects.order_by("pk").values())
    call_command("import_prices", source="genai-prices")

    assert "Nothing new to decide on." in capsys.readouterr().out
    assert list(PriceProposal.objects.order_by("pk").values()) == before


def test_a_file_is_read_and_what_waits_is_told(listed, capsys):
    call_command("import_prices", listed(3), source="litellm", by="ops@example.com")

    said = capsys.readouterr().out
    made = PriceImport.objects.get()
    assert (made.file_name, made.by, made.models_count) == ("prices.json", "ops@example.com", 3)
    assert "Read 3 models of litellm" in said
    assert f"Import {made.pk} waits for a person" in said
    assert proposals()[0] == ("new", "gpt-0@openai", "open")


def test_a_table_that_shrank_fails_and_says_how_to_insist(listed, capsys):
    call_command("import_prices", listed(20), source="litellm")

    with pytest.raises(CommandError, match=r"of 20 models .* --accept-shrunk"):
        call_command("import_prices", listed(5), source="litellm")
    assert PriceImport.objects.count() == 1

    call_command("import_prices", listed(5), source="litellm", accept_shrunk=True)
    assert "15 older proposals are replaced" in capsys.readouterr().out


def test_a_malformed_file_fails_and_leaves_nothing(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"gpt-5.5": ')

    with pytest.raises(CommandError, match="nothing of it was used"):
        call_command("import_prices", str(path), source="litellm")
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_prices", str(tmp_path / "nowhere.json"), source="litellm")
    with pytest.raises(CommandError, match="from a file"):
        call_command("import_prices", source="csv")
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("import_prices", "--from", "rumour")
    assert not PriceImport.objects.exists()


def test_a_file_of_one_s_own_is_proposed_like_any_table(tmp_path, capsys):
    path = tmp_path / "ours.csv"
    path.write_text("offering,meter,usd_per_1m,valid_from\nlarge-1@acme,output,12.50,2026-05-01\n")

    call_command("import_prices", str(path), source="csv")

    (found,) = PriceProposal.objects.all()
    (line,) = found.lines
    assert (found.kind, found.offering_name, line["usd_per_1m"]) == ("new", "large-1@acme", "12.5")
    assert line["valid_from"] == "2026-05-01T00:00:00+00:00"
    assert "1 new" in capsys.readouterr().out
