"""A page that asks a TFLite file in the browser."""
