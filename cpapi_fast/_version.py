"""The version of this package and of picows; a test compares both with the packaging files."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

#: The picows release that the listener is compiled against. The layout of picows' classes changes in patch releases,
#: and a mismatch silently loses frames, so the package compares the versions before it imports the listener.
PICOWS_VERSION: Final = "2.3.1"
