"""`query-map`: one query's weights over all positions of a feature map, beside what convolutions reach from there."""
