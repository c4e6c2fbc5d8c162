"""`look`: the masks of any network, over the picture, with the answer beside them."""
