"""Small immutable things that many entries share: request contexts and rates. Part of the booking's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from catalog.rules import METERS, RateCard
from core.money import plain
from usage.rules.postings import Posting
from usage.selectors import world as worlds

_json = msgspec.json.Encoder(order="deterministic")


_digests: dict[tuple[tuple[str, str], ...], bytes] = {}


def digest_of(content: object) -> bytes:
    return hashlib.sha256(_json.encode(content)).digest()[:16]


def context_digest(context: Mapping[str, str]) -> bytes:
    """Return a context's digest, remembering: gateways send few distinct ones, again and again."""
    items = tuple(context.items())
    digest = _digests.get(items)
    if digest is None:
        if len(_digests) >= 50_000:
            _digests.clear()
        digest = _digests[items] = digest_of(context)
    return digest


def _intern(cursor: psycopg.Cursor[Any], sql: str, table: str, wanted: Mapping[bytes, str]) -> dict[bytes, int]:
    ordered = sorted(wanted)
    cursor.execute(sql, [ordered, [wanted[digest] for digest in ordered]])
    # A row that another booking made meanwhile was waited for, and is found here.
    cursor.execute(f"SELECT digest, id FROM {table} WHERE digest = ANY(%b)", [ordered])
    return {bytes(digest): int(id_) for digest, id_ in cursor.fetchall()}


def context_ids(cursor: psycopg.Cursor[Any], contexts: Mapping[bytes, Mapping[str, str]]) -> dict[bytes, int]:
    """Return ids of request contexts by digest; two statements where some are new, else none."""
    known = {digest: id_ for digest in contexts if (id_ := worlds.contexts.look(digest)) is not None}
    new = {digest: _json.encode(content).decode() for digest, content in contexts.items() if digest not in known}
    if new:
        made = _intern(
            cursor,
            "INSERT INTO usage_context (digest, content) SELECT d, c::jsonb FROM unnest(%b::bytea[], %s::text[]) "
            "AS t(d, c) ON CONFLICT (digest) DO NOTHING",
            "usage_context",
            new,
        )
        worlds.contexts.learn(made)
        known |= made
    return known


def rate_digest(card: RateCard) -> bytes:
    """Identify a card by its prices: `id(card)` would do for a process, this does for all of them."""
    paid = [None if p is None else p.id for p in card.prices]
    if card.contract is None:
        return digest_of(paid)
    return digest_of([paid, [None if p is None else p.id for p in card.listed], card.contract.id])


def content_of(card: RateCard) -> dict[str, dict[str, object]]:
    """Return what is kept of a card: by meter the price's id and USD per 1M, and where they differ, those of the list.

    Under a contract, `contract` names it and its discount; a price without `contract: true` has that taken off.
    """
    content: dict[str, dict[str, object]] = {}
    for index, price in enumerate(card.prices):
        if price is None:
            continue
        content[METERS[index]] = {"price": price.id, "usd_per_1m": plain(price.usd_per_1m)}
        listed = card.listed[index] if card.contract is not None else None
        if listed is not None and listed is not price:
            content[METERS[index]] |= {"list_price": listed.id, "list_usd_per_1m": plain(listed.usd_per_1m)}
    if card.contract is not None:
        terms = card.contract
        own = {one.id for one in terms.prices}
        for index, price in enumerate(card.prices):
            if price is not None and price.id in own:
                content[METERS[index]]["contract"] = True
        discount = None if terms.discount_percent is None else plain(terms.discount_percent)
        content["contract"] = {"id": terms.id, "name": terms.name, "discount_percent": discount}
    return content


def rate_ids(cursor: psycopg.Cursor[Any], cards: Mapping[bytes, RateCard]) -> dict[bytes, int]:
    """Return ids of rates by digest; two statements where some are new, else none."""
    known = {digest: id_ for digest in cards if (id_ := worlds.rates.look(digest)) is not None}
    new = {digest: _json.encode(content_of(card)).decode() for digest, card in cards.items() if digest not in known}
    if new:
        made = _intern(
            cursor,
            "INSERT INTO usage_rate (digest, prices, contract_id, discount_percent) "
            "SELECT d, c::jsonb, (c::jsonb #>> '{contract,id}')::bigint, "
            "(c::jsonb #>> '{contract,discount_percent}')::numeric FROM unnest(%b::bytea[], %s::text[]) "
            "AS t(d, c) ON CONFLICT (digest) DO NOTHING",
            "usage_rate",
            new,
        )
        worlds.rates.learn(made)
        known |= made
    return known


def set_rates(cursor: psycopg.Cursor[Any], postings: Sequence[Posting], cards: Mapping[int, RateCard]) -> None:
    """Replace the keys of cards that postings carry as `rate_id` by the ids of their interned rates."""
    if not cards:
        return
    digests = {key: rate_digest(card) for key, card in cards.items()}
    ids = rate_ids(cursor, {digests[key]: card for key, card in cards.items()})
    for posting in postings:
        if posting.rate_id is not None:
            posting.rate_id = ids[digests[posting.rate_id]]
