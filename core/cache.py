"""A cache that goes on without Redis.

Redis never holds the sole copy of anything, so whatever asks a cache can do without it. Sign-in asks: its rate limits
are counted here. While Redis is away each process counts for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache


class TolerantRedisCache(RedisCache):
    """Django's Redis cache, with this process's memory in its place while Redis cannot be reached."""

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._instead = LocMemCache("while-redis-is-away", {})


def _tolerant(name: str) -> Callable[..., Any]:
    def method(self: TolerantRedisCache, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(RedisCache, name)(self, *args, **kwargs)
        except redis.RedisError:
            return getattr(self._instead, name)(*args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "add",
    "get",
    "set",
    "touch",
    "delete",
    "get_many",
    "has_key",
    "incr",
    "set_many",
    "delete_many",
    "clear",
):
    setattr(TolerantRedisCache, _name, _tolerant(_name))
