"""The two version numbers that have to agree with the packaging files (a meta test holds them together)."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

#: The one picows release that the listener is compiled against. The layout of picows' classes changes inside patch
#: releases and a mismatch loses frames without an error, so this is checked before the listener is imported.
PICOWS_VERSION: Final = "2.3.1"
