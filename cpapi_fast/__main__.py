"""`python -m cpapi_fast`: the same as the command `cpapi-fast`."""

from __future__ import annotations

import sys

from .cli.main import main

sys.exit(main())
