"""A second renderer of rain, in NumPy, for evaluation: it shares no code with the one that makes the training samples."""
