"""Measure the latency that the node adds to a pair over DDS, compared with a bare relay."""
