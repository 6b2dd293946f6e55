"""Augmentation: what training does to images, one transform a module."""
