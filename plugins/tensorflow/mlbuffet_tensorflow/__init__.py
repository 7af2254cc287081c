"""TensorFlow as a runtime of MLBuffet."""
