"""LiteLLM's configuration as objects of a bucket: which there are, and what is in them.

`litellm/config.yaml` says all but the models, and includes them by the name `models-<version>.<revision>.yaml`. What
was in force at that moment never changes, so a proxy that reads the two on either side of a publication gets what
belongs together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from catalog.selectors import price_map
from core.services import keys
from routing.models import StateRevision, Version
from routing.rules import document
from routing.rules.document import Problem
from routing.rules.exports import Frozen, litellm
from routing.rules.exports.written import written
from routing.selectors import state
from routing.serving import loading

FOLDER = "litellm/"
CONFIG = f"{FOLDER}config.yaml"
_MODELS = re.compile(rf"{FOLDER}models-(?P<version>[1-9][0-9]{{0,8}})\.(?P<revision>[0-9]{{1,18}})\.yaml", re.ASCII)


def variables(*, base_url: str, environment: str, made: keys.S3Credentials) -> dict[str, str]:
    """Return what a LiteLLM proxy that runs without our hook is started with, by the variable's name.

    `base_url` is where this installation answers. The key itself is not among them: it goes into
    TOLLKEEPER_AUTHORIZATION as `Bearer KEY`, whoever has it.
    """
    base_url = base_url.rstrip("/")
    return {
        "LITELLM_CONFIG_BUCKET_NAME": environment,
        "LITELLM_CONFIG_BUCKET_OBJECT_KEY": CONFIG,
        "AWS_ENDPOINT_URL_S3": f"{base_url}/s3",
        "AWS_REGION": "us-east-1",  # S3 clients want one; any will do
        "AWS_ACCESS_KEY_ID": made.access_key_id,
        "AWS_SECRET_ACCESS_KEY": made.secret_access_key,
        "LITELLM_MODEL_COST_MAP_URL": f"{base_url}/price-maps/{keys.opener(made, price_map.PURPOSE)}/litellm.json",
        "TOLLKEEPER_USAGE_URL": f"{base_url}/api/v1/usage/litellm",
    }


@dataclass(frozen=True, kw_only=True)
class Object:
    """What is at a key. `unfit` says why there is nothing: a file cannot say the rules in force."""

    tag: str  # version and revision
    body: bytes = b""
    unfit: list[Problem] = field(default_factory=list)


def read(*, environment: str, key: str, gateway: str | None) -> Object | None:
    """Return the object of a key, None where there is no such or no rules are in force. Three queries at most."""
    found = _MODELS.fullmatch(key)
    if key != CONFIG and found is None:
        return None
    pointer = next(iter(loading.pointers(environment=environment)), None)
    if pointer is None:
        return None
    number, revision = pointer.version, pointer.revision
    if found is not None:
        number, revision = int(found["version"]), int(found["revision"])
    frozen = _held(pointer, number, revision, gateway)
    if frozen is None:
        return None
    unfit = litellm.unfit(frozen)
    if unfit:
        # A proxy that finds no file does not start. What budgets do to a file is as of its start anyway, so where they
        # alone cannot be said the file is one without them.
        frozen = frozen._replace(state={**frozen.state, "budgets": []})
        if litellm.unfit(frozen):
            return Object(tag=frozen.stamp, unfit=unfit)
    if found is not None:
        return Object(tag=frozen.stamp, body=written(litellm.models(frozen)))
    included = f"models-{frozen.stamp}.yaml"
    return Object(tag=frozen.stamp, body=written({"include": [included], **litellm.settings(frozen)}))


def _held(pointer: loading.Pointer, number: int, revision: int, gateway: str | None) -> Frozen | None:
    version = Version.objects.filter(environment_id=pointer.environment_id, number=number).first()
    held = StateRevision.objects.filter(environment_id=pointer.environment_id, revision=revision).first()
    if version is None or (held is None and revision):
        return None
    told = state.nothing() if held is None else document.parse(bytes(held.canonical))
    return Frozen(
        environment=pointer.name,
        content=document.parse(bytes(version.canonical)),
        version=number,
        state={**told, "revision": revision},
        at=version.published_at if held is None else held.holds_from,
        gateway=gateway,
    )
