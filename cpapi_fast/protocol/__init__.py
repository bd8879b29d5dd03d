"""IB's data formats: field codes, topics, kinds, numbers, history. No I/O."""
