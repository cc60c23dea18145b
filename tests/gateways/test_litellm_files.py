"""What LiteLLM reads from us when it starts, read by LiteLLM itself: its configuration from S3, and the price map."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zlib
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from catalog.models import Offering, SourceTable
from tests.controlplane.conftest import bare_environment
from tests.factories import make_key
from tests.gateways import litellm_proxy
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = {
    OPUS: "anthropic/claude-opus-4-7",
    MIDDLE: "gemini/gemini-3.1-pro-preview",
    CHEAP: "deepseek/deepseek-v4-flash",
}
SUPPORT = make_rule(
    "support", use_cases=["support-routing"], when=None, fallbacks=[CHEAP],
    targets=[{"offering": OPUS, "weight": 7500}, {"offering": MIDDLE, "weight": 2500}],
)  # fmt: skip

# In LiteLLM's own environment, by LiteLLM's own functions.
READS = """
import asyncio, json, os
import litellm
from litellm.litellm_core_utils.get_model_cost_map import get_model_cost_map_source_info
from litellm.proxy.common_utils.load_config_utils import get_config_from_bucket

async def main():
    config = await get_config_from_bucket(
        bucket_type=None, bucket_name=os.environ["LITELLM_CONFIG_BUCKET_NAME"],
        object_key=os.environ["LITELLM_CONFIG_BUCKET_OBJECT_KEY"],
    )
    router = litellm.Router(model_list=config["model_list"], **config["router_settings"])
    asked = {"model": "support-routing", "messages": [{"role": "user", "content": "hello"}], "mock_response": "hi"}
    served = [await router.acompletion(**asked) for _ in range(9)]
    print(json.dumps({
        "source": get_model_cost_map_source_info()["source"],
        "models": len(litellm.model_cost),
        "usd": litellm.cost_per_token("anthropic/claude-opus-4-7", prompt_tokens=1000, completion_tokens=100),
        "sees": litellm.supports_vision("anthropic/claude-opus-4-7"),
        "callbacks": config["litellm_settings"]["callbacks"],
        "groups": sorted({one["model_name"] for one in config["model_list"]}),
        "fallbacks": router.fallbacks,
        "served": sorted({one._hidden_params["model_id"] for one in served}),
    }))

asyncio.run(main())
"""


def test_litellm_takes_its_configuration_and_its_price_map_from_us(live_server, tmp_path):
    litellm_proxy.install()
    package = next(litellm_proxy.LITELLM.parent.glob("lib/python3*/site-packages/litellm"))
    shipped = (package / "model_prices_and_context_window_backup.json").read_bytes()
    stock()
    for name, litellm in NAMES.items():
        Offering.objects.filter(name=name).update(gateway_names={"litellm": litellm})
    # As an import keeps it; reading its 4,000 models through is the matter of other tests.
    SourceTable.objects.create(
        source="litellm", digest=hashlib.sha256(shipped).hexdigest(), models_count=1, quotes={},
        content=zlib.compress(shipped), read_at=timezone.now(), read_by="tests",
    )  # fmt: skip
    make_version(make_content(SUPPORT))
    make_key("rules:read", "usage:write", gateway="proxy", name="proxy")
    out = StringIO()
    call_command("s3_secret", "proxy", url=live_server.url, stdout=out, stderr=StringIO())
    told = dict(line.removeprefix("export ").split("=", 1) for line in out.getvalue().splitlines())

    ran = subprocess.run(
        [litellm_proxy.LITELLM / "python", "-c", READS], capture_output=True, text=True, cwd=tmp_path,
        env=bare_environment(**told),
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    # The price is the book's, and what the model can do is what LiteLLM's own table says.
    assert found["source"] == "remote", ran.stderr
    assert found["models"] >= len(json.loads(shipped)) - 1
    assert [round(usd, 9) for usd in found["usd"]] == [0.005, 0.0005]
    assert found["sees"]
    assert found["groups"] == ["auto", "auto:fallback-1", "support-routing", "support-routing:fallback-1"]
    assert found["fallbacks"][0] == {"support-routing": ["support-routing:fallback-1"]}
    assert found["callbacks"] == ["tollkeeper"]
    said = "tollkeeper_rule:support@v1;tollkeeper_state:1;use_case:support-routing;support-routing"
    assert set(found["served"]) <= {f"{said}.0", f"{said}.1"}
    assert found["served"]
