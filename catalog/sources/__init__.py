"""Tables of prices from outside, read into quotes. A price from outside is a proposal: nothing here writes anything."""
