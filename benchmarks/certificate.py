"""Makes the sender's certificates: a root that clients trust, and a server certificate signed by it.

There are two because some TLS stacks refuse a root certificate as a server's own.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.servers import certificates


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a context for a server on 127.0.0.1 and localhost, and the file of the root certificate."""
    root = certificates.make(is_authority=True, name="benchmark root")
    context = certificates.make(signed_by=root, name="benchmark").server_context(folder)
    return context, root.write(folder / "root.pem")
