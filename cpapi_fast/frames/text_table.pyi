from typing import final

@final
class TextTable:
    """Maps texts to slots, for compiled modules only. It has no Python methods.

    Slots are numbered from 0. The slot of a removed text is reused for the next text that is added.
    """

    def __init__(self) -> None: ...
