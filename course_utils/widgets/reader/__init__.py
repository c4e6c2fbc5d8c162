"""`reader`: a line of text, what every head of a network that reads it looks at, and the reading without some heads."""
