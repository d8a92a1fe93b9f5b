"""A second renderer of rain, in NumPy, for evaluation: it shares no code with the renderer of the training samples."""
