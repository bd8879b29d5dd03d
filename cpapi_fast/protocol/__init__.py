"""IB's vocabulary: field codes, topics, kinds, numbers, history. No I/O."""
