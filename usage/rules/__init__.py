"""What booking decides and computes, in plain Python: rating, postings, sums."""
