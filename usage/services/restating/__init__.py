"""Booking the past anew where the catalogue was amended: what it would do, and doing it."""
