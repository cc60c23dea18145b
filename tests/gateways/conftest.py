"""Real gateways, which send to a house of ours.

The circle with LiteLLM's proxy, and what LiteLLM reads from us, are in every run of the tests. The rest is for
`make soak`.
"""

import os

collect_ignore = [] if os.environ.get("TOLLKEEPER_SOAK") == "1" else ["test_litellm_proxy.py"]
