from collections.abc import Sequence
from typing import Any, Self

class Instance: ...

def forget(owners: dict[int, Any], at: int, dead: object) -> None: ...

class Calls:
    def __new__(
        cls,
        token: object,
        *,
        strict: bool,
        names: tuple[str, ...],
        unnamed: int,
        defaults: Sequence[object],
        more_positional: bool,
        keywords: Sequence[tuple[str, object]],
        more_keywords: bool,
    ) -> Self: ...
