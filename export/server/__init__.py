"""The embedded server: TensorFlow Serving's REST and gRPC interface, for a laptop."""
