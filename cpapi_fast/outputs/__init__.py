"""Writers of files, and the thread that runs them."""
