from typing import final

@final
class TextTable:
    """Slots of texts, for compiled modules only: it has no Python methods.

    Slots count up from 0. The slot of a removed text is given to the next text that is added.
    """

    def __init__(self) -> None: ...
