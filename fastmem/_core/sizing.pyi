"""Deep size of Python values, and how they can be serialised."""

from typing import Final

FORM_OPAQUE: Final = 0
FORM_DIRECT: Final = 1
FORM_PLAIN: Final = 2

def deep_size(value: object, /) -> int: ...
def measure(value: object, /) -> tuple[int, int]: ...
