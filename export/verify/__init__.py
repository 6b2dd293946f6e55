"""Exported files are run again and compared with Keras."""
