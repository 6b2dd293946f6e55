"""Data sets: read, checked, decoded, batched."""
