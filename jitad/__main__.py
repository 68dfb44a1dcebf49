"""`python -m jitad`, the same as the command `jitad`."""

import sys

from .cli import main

sys.exit(main())
