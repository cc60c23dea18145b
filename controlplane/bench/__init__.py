"""`make bench`: how fast the house is, as ratios measured in one run on one machine, beside their limits."""
