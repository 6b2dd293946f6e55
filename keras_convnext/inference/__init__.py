"""Trained models that people bring: what goes in, what comes out, asking them."""
