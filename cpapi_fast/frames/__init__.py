"""Frames, batches and columns: finds routes, stores frames, and decodes fields, in compiled code."""
