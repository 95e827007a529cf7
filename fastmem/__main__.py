"""``python -m fastmem`` is ``fastmem``."""

import sys

from fastmem.cli import main

if __name__ == "__main__":
    sys.exit(main())
