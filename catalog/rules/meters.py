"""What is counted and priced apart, in one order that tuples of counts and of prices follow."""

from __future__ import annotations

METERS = (
    "uncached_input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "requests",
    "web_searches",
)
INPUT_METERS = (0, 1, 2, 3, 5, 7)  # indices of the meters that make up a request's input
OUTPUT_METERS = (4, 6, 8)
REQUESTS = METERS.index("requests")
