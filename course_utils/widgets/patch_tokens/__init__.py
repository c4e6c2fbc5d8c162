"""`patch-tokens`: a picture as a sequence of patches, what the class token looks at, and what blanking changes."""
