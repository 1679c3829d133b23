"""``python -m slimtune`` is the command ``slimtune``."""

import sys

from slimtune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
