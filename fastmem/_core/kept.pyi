from typing import TypeVar

_T = TypeVar("_T")
_E = TypeVar("_E", bound=BaseException)

class Kept:
    error: BaseException
    def __init__(self, error: BaseException) -> None: ...

def copy_of(error: _E) -> _E: ...
def given(value: _T) -> _T: ...
