"""`make demo`: send a rainy stereo recording through the real node and measure the result."""
