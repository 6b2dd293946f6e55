"""Several runs of one recipe: what they differ in, and how they are started."""
