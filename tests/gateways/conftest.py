"""Real gateways, which send to a house of ours.

`make soak` installs and runs them: three quarters of a gigabyte are too much for every run of the tests.
"""

import os

collect_ignore_glob = [] if os.environ.get("TOLLKEEPER_SOAK") == "1" else ["test_*.py"]
