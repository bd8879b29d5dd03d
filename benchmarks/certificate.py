"""The certificate of a sender: a root that clients trust, and a server certificate that it signed.

Two, since some TLS stacks refuse a root that stands at the server itself.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from tests import certificates


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A context that serves 127.0.0.1 and localhost, and the file of the root that signed it."""
    root = certificates.make(is_authority=True, name="benchmark root")
    context = certificates.make(signed_by=root, name="benchmark").server_context(folder)
    return context, root.write(folder / "root.pem")
