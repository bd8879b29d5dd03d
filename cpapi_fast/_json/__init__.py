"""C headers that read JSON text within its bounds. Private to the compiled modules."""
