"""`sentence-attention`: the words of a sentence attend to each other, by a table of features that one can read."""
