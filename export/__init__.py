"""The export application: SavedModel and TFLite files that are proven to agree."""
