"""Rules in the Django admin: drafts to versions, switches, and the records to look at."""

from routing.admin import proposals, records, switches, versions

__all__ = ["proposals", "records", "switches", "versions"]
