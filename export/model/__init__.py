"""What is exported: the model, its file, its forward pass."""
