"""The evaluator of specification 1: the same files that Tollkeeper itself decides with, by links in the source tree."""
