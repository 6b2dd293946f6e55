"""What both applications read of data sources: nothing here decodes an image."""
