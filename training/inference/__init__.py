"""Predictions for images that a person names, and what they rest on."""
