"""`branch-weights`: how much each channel takes from each kernel, for things of growing size."""
