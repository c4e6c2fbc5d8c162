"""`mask-playground`: one picture, and a mask of each of the six categories to move by hand or to have made from it."""
