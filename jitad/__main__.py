"""`python -m jitad`, the same as the command `jitad`."""

import sys

from jitad.cli import main

sys.exit(main())
