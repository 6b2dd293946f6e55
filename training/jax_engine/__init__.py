"""The training loop under Keras' JAX backend."""
