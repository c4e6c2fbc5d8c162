"""`pixel-budget`: the same number of pixels, chosen in three ways, and what a network reads in each."""
