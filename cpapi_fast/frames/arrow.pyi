from typing import final

@final
class ArrowColumn:
    """A column or record batch to export, for compiled modules only. It has no Python methods."""
