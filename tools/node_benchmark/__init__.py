"""What the node adds to the way of a pair over DDS, beside a bare relay."""
