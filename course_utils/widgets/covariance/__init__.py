"""`covariance`: how channels vary together, cell by cell; rearrange one, and see what SE and GSoP make of it."""
