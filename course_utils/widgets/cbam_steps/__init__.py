"""`cbam-steps`: CBAM one step after another; its order swapped, its pools off, and what the network answers."""
