"""Annotations of boxes in other forms, as COCO's; nothing here needs TensorFlow."""
