"""How gateways get the rules in force: documents made once, kept in memory, answered in front of Django."""
