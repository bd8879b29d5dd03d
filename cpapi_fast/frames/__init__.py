"""From the bytes of a frame to its route, its batch and its columns."""
