"""The bucket that gateways read their configuration from, and the address of the price map."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from io import BytesIO, StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client, RequestFactory
from django.utils import timezone

from catalog.models import SourceTable
from catalog.services import imports
from core import keys as kept
from core import sigv4, turned_away
from core.models import ApiKey
from core.services import keys
from routing.api_s3 import S3ObjectApi
from routing.models import Environment
from routing.services import switches
from tests.factories import make_key
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = "/s3/production/litellm/config.yaml"
PLAIN = make_rule("plain", use_cases=["support"], when=None, fallbacks=[MIDDLE])
FIT = make_content(PLAIN)


@pytest.fixture(autouse=True)
def fresh():
    kept.forget()


def credentials(*scopes: str, **overrides: Any) -> keys.S3Credentials:
    make_key(*(scopes or ("rules:read",)), **overrides)
    return keys.make_s3_secret(key=ApiKey.objects.latest("id"), by="tests", at=timezone.now())


def signed(made: keys.S3Credentials, path: str, *, at: datetime | None = None, method: str = "GET") -> dict[str, str]:
    """Return the headers that an S3 client sends."""
    date = (at or timezone.now()).strftime("%Y%m%dT%H%M%SZ")
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": "testserver", "x-amz-content-sha256": empty, "x-amz-date": date}
    names = ";".join(headers)
    canonical = "\n".join([method, path, "", *(f"{n}:{v}" for n, v in headers.items()), "", names, empty])
    scope = f"{date[:8]}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + made.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={made.access_key_id}/{scope}"
    return {
        "host": "testserver", "x-amz-date": date, "x-amz-content-sha256": empty,
        "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
    }  # fmt: skip


def get(made: keys.S3Credentials, path: str = CONFIG, *, at: datetime | None = None, **more: str):
    return Client().get(path, headers={**signed(made, path, at=at), **more})


def test_the_configuration_is_read_with_its_models_as_of_one_moment(django_assert_max_num_queries):
    stock_named()
    make_version(FIT)
    made = credentials(gateway="proxy")

    with django_assert_max_num_queries(6):
        config = get(made)
    body = json.loads(config.content)
    included = f"/s3/production/litellm/{body['include'][0]}"
    before = json.loads(get(made, included).content)
    make_version(make_content(make_rule("other", use_cases=["other"], when=None, fallbacks=[])))
    after = json.loads(get(made, included).content)

    assert (config.status_code, config["ETag"], config["Content-Type"]) == (200, '"1.1"', "application/yaml")
    assert body["router_settings"]["fallbacks"][0] == {"support": ["support:fallback-1"]}
    assert [one["model_name"] for one in before["model_list"]][:2] == ["support", "support:fallback-1"]
    assert after == before
    assert json.loads(get(made).content)["include"] != body["include"]
    assert get(made, **{"if-none-match": get(made)["ETag"]}).status_code == 304


def test_whoever_has_not_the_secret_learns_nothing_but_that():
    stock_named()
    make_version(FIT)
    made = credentials(gateway="proxy")
    unknown = keys.S3Credentials("TK999999", made.secret_access_key)
    wrong = keys.S3Credentials(made.access_key_id, "guessed")
    revoked = credentials(gateway="revoked")
    keys.revoke(key=ApiKey.objects.latest("id"), by="tests", at=timezone.now())
    expired = credentials(gateway="expired", expires_at=timezone.now() + timedelta(hours=1))
    ApiKey.objects.filter(gateway_key__gateway__name="expired").update(expires_at=timezone.now())

    answers = [get(one) for one in (unknown, wrong, revoked, expired)]
    answers += [
        Client().get(CONFIG),
        Client().get(CONFIG, headers={"authorization": "Bearer tk_something"}),
        Client().get(CONFIG, headers=signed(made, CONFIG.replace("config", "other"))),
        get(wrong, "/s3/nowhere/nothing"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert b"<Code>SignatureDoesNotMatch</Code>" in answers[0].content


def test_a_signature_of_another_hour_is_refused_and_only_whoever_can_sign_hears_why():
    made = credentials(gateway="proxy")
    long_ago = timezone.now() - sigv4.WINDOW - timedelta(minutes=1)

    assert b"RequestTimeTooSkewed" in get(made, at=long_ago).content
    assert b"SignatureDoesNotMatch" in get(keys.S3Credentials(made.access_key_id, "x"), at=long_ago).content


@pytest.mark.usefixtures("client")  # which empties Redis
def test_a_refused_signature_is_noted_for_the_key_that_it_names():
    made = credentials(gateway="proxy")
    key_id, path = ApiKey.objects.get().pk, "/s3/production/of-this-test-alone"

    get(keys.S3Credentials(made.access_key_id, "guessed"), path)
    get(made, path, at=timezone.now() - sigv4.WINDOW - timedelta(minutes=1))
    get(keys.S3Credentials("AKIAIOSFODNN7EXAMPLE", "another cloud's"), path)

    noted = {one.what for one in turned_away.recent(at=timezone.now()) if one.what.path == path}
    assert {(what.key_id, what.words) for what in noted} == {(key_id, ""), (key_id, turned_away.SKEWED), (0, "")}
    assert {what.why for what in noted} == {turned_away.SIGNATURE}


def test_a_strangers_large_body_is_not_even_read():
    headers = signed(credentials(gateway="proxy"), CONFIG) | {"x-amz-content-sha256": sigv4.UNSIGNED}
    request = RequestFactory().generic("GET", CONFIG, b"x" * 1_000_001, headers=headers)
    stream = request._stream = BytesIO(b"x" * 1_000_001)

    answer = S3ObjectApi.as_view()(request, bucket="production", key="litellm/config.yaml")

    assert (answer.status_code, stream.tell()) == (403, 0)


@pytest.mark.parametrize("left", [[], [Fernet.generate_key().decode()]], ids=["none", "another"])
def test_a_stranger_hears_nothing_of_secrets_that_this_house_can_read_no_more(settings, left):
    made = credentials(gateway="proxy")
    token = keys.opener(made, "price-map")
    settings.ENCRYPTION_KEYS = left

    fetched = Client().get(CONFIG, headers=signed(made, CONFIG))
    priced = Client().get(f"/price-maps/{token}/litellm.json")

    assert (fetched.status_code, b"SignatureDoesNotMatch" in fetched.content) == (403, True)
    assert priced.status_code == 404


def test_a_key_reads_the_bucket_of_its_own_environment_and_what_there_is_in_it():
    stock_named()
    staging = credentials(gateway="proxy", environment="staging")
    production = credentials(gateway="other")
    nothing_in_force = get(production)
    make_version(FIT)

    assert b"<Code>NoSuchBucket</Code>" in get(staging).content
    assert b"<Code>NoSuchKey</Code>" in nothing_in_force.content
    for key in ("litellm/", "litellm/models-9.9.yaml", "litellm/models-1.99.yaml", "../config.yaml", "x" * 900):
        assert b"<Code>NoSuchKey</Code>" in get(production, f"/s3/production/{key}").content
    assert Client().put(CONFIG, headers=signed(production, CONFIG, method="PUT")).status_code == 405


def test_rules_that_a_file_cannot_say_are_named_and_an_exceeded_budget_alone_stops_no_proxy():
    stock_named()
    make_version(make_content(make_rule("by-task")))
    made = credentials(gateway="proxy")
    unfit = get(made)
    make_version(FIT)
    switches.turn(
        kind="provider", name="anthropic", off=True, seconds=600, reason="away", by="tests", at=timezone.now()
    )

    held = get(made)

    assert (unfit.status_code, b"/rules/0/when" in unfit.content) == (409, True)
    models = get(made, f"/s3/production/litellm/{json.loads(held.content)['include'][0]}")
    support = next(one for one in json.loads(models.content)["model_list"] if one["model_name"] == "support")
    assert support["litellm_params"]["model"] == "gemini/gemini-3.1-pro"


def test_a_key_asks_for_its_own_secret_and_the_command_prints_what_a_proxy_needs():
    stock_named()
    make_version(FIT)
    reader, sender = make_key("rules:read", gateway="proxy", name="proxy"), make_key("usage:write", name="sender")
    ask = {"path": "/api/v1/s3-secret", "content_type": "application/json"}

    answer = Client().post(**ask, headers={"Authorization": f"Bearer {reader}"})
    refused = Client().post(**ask, headers={"Authorization": f"Bearer {sender}"})
    told = answer.json()
    made = keys.S3Credentials(told["access_key_id"], told["secret_access_key"])

    assert (answer.status_code, refused.status_code) == (201, 403)
    assert (told["bucket"], told["object_key"]) == ("production", "litellm/config.yaml")
    assert get(made).status_code == 200

    out = StringIO()
    call_command("s3_secret", "proxy", url="https://house.example/", stdout=out, stderr=StringIO())
    lines = dict(line.removeprefix("export ").split("=", 1) for line in out.getvalue().splitlines())
    assert lines["AWS_ENDPOINT_URL_S3"] == "https://house.example/s3"
    assert (get(made).status_code, lines["AWS_ACCESS_KEY_ID"]) == (403, made.access_key_id)
    with pytest.raises(CommandError, match="no key"):
        call_command("s3_secret", "nobody", stdout=out, stderr=StringIO())


TABLE = {
    "sample_spec": {"litellm_provider": "one of"},
    "claude-opus-4-7": {
        "litellm_provider": "anthropic", "mode": "chat", "max_input_tokens": 1000000, "supports_vision": True,
        "input_cost_per_token": 9e-06, "input_cost_per_token_above_200k_tokens": 1e-05, "output_cost_per_token": 9e-05,
        "cache_read_input_token_cost": 1e-07,
    },
    "somebody/elses": {"litellm_provider": "somebody", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
}  # fmt: skip


def test_the_price_map_is_litellms_table_with_our_list_prices_in_it():
    stock_named()
    made = credentials(gateway="proxy")
    path = f"/price-maps/{keys.opener(made, 'price-map')}/litellm.json"
    before = Client().get(path)
    read = imports.read(source="litellm", content=json.dumps(TABLE).encode())
    imports.propose(table=read, by="tests", at=timezone.now(), accept_shrunk=True)

    answer = Client().get(path)
    table = answer.json()

    assert (before.status_code, b"import_prices" in before.content) == (404, True)
    assert answer.status_code == 200
    # Ours for what the book has, theirs for what it has not, and all else as it was.
    assert table["claude-opus-4-7"] == {
        "litellm_provider": "anthropic", "mode": "chat", "max_input_tokens": 1000000, "supports_vision": True,
        "cache_read_input_token_cost": 1e-07, "input_cost_per_token": 5e-06, "output_cost_per_token": 5e-06,
    }  # fmt: skip
    assert table["somebody/elses"] == TABLE["somebody/elses"]
    assert table["sample_spec"] == TABLE["sample_spec"]
    assert table["deepseek/deepseek-v4-flash"] == {
        "litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 2e-07, "output_cost_per_token": 2e-07,
    }  # fmt: skip
    assert Client().get(path, headers={"if-none-match": answer["ETag"]}).status_code == 304
    assert answer["Cache-Control"] == "private, no-cache"
    assert SourceTable.objects.get().content


@pytest.mark.parametrize("token", ["", "TK1", "TK1.x", "x" * 300, "TK999.0000000000000000000000000000000000000000"])
def test_another_address_opens_no_price_map(token):
    credentials(gateway="proxy")

    assert Client().get(f"/price-maps/{token}/litellm.json").status_code == 404
    # Nor is it noted: a token may be another installation's, or one character away from ours.
    noted = turned_away.recent(at=timezone.now())
    assert [one.what.path for one in noted if "price-maps" in one.what.path] == []


def stock_named() -> None:
    """Offer the three models of the stock under LiteLLM's names."""
    from catalog.models import Offering

    stock()
    named = (
        (OPUS, "anthropic/claude-opus-4-7"),
        (MIDDLE, "gemini/gemini-3.1-pro"),
        (CHEAP, "deepseek/deepseek-v4-flash"),
    )
    for name, litellm in named:
        Offering.objects.filter(name=name).update(gateway_names={"litellm": litellm})
    Environment.objects.get_or_create(name="production", defaults={"created_at": timezone.now()})
