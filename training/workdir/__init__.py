"""A run's folder: its layout, its checkpoints, its history."""

from .layout import Workdir, identity

__all__ = ["Workdir", "identity"]
