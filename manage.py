#!/usr/bin/env python
"""Entry point of every command."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Tollkeeper needs Python 3.11 or later, and this is {}.{}.".format(*sys.version_info))


def main() -> None:
    # These start the servers whose addresses the settings need, so they come before Django reads them.
    if sys.argv[1:2] == ["demo"]:
        from controlplane import demo

        sys.exit(demo.main(sys.argv[2:]))
    if sys.argv[1:2] == ["bench"]:
        from controlplane.bench import main as bench

        sys.exit(bench.main(sys.argv[2:]))

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
