"""A run's folder: its layout, its checkpoints, its history."""
