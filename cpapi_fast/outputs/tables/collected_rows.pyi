from typing import final

@final
class CollectedRows:
    """Collected rows of one table, for compiled modules; others pass them to `pyarrow.record_batch`, once."""

    def __init__(self) -> None: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return schema and array of the rows as Arrow PyCapsules. No other schema is supported."""
