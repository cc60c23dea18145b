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

    of_rules = sys.argv[1:2] == ["rules"]
    if of_rules and sys.argv[2:3] == ["validate"] and "--schema-only" in sys.argv:
        # Fit for a commit hook: a machine that runs nothing else of ours has neither settings nor a database.
        from routing.management import rule_files

        sys.exit(rule_files.main(sys.argv[3:]))

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except SystemExit as stopped:
        # Settings that are missing end with 1, which for rules says that a file differs or is invalid.
        if of_rules and isinstance(stopped.code, str):
            sys.stderr.write(f"{stopped.code}\n")
            sys.exit(2)
        raise


if __name__ == "__main__":
    main()
