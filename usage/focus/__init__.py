"""The ledger as FOCUS 1.2, the FinOps Open Cost and Usage Specification: plain Python, no I/O, no clock.

`columns` says what stands in which column, `lines` makes the lines of a group of entries, `files` writes them.
`usage.selectors.focus` asks the ledger.
"""
