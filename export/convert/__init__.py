"""From a model to SavedModel and TFLite."""
