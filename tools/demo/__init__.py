"""`make demo`: a stereo recording in the rain goes through the real node, and what came out is measured."""
