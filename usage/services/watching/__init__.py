"""Tells of what nobody asked about: unusual spend, shares on frontier models that rise, usage without a price.

Each is looked for every ten minutes, in a transaction of its own, over sums of days. What is told once stays told.
"""
