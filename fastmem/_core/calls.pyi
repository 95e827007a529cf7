from collections.abc import Sequence
from typing import Any

class Instance: ...

def forget(owners: dict[int, Any], at: int, dead: object) -> None: ...

class Calls:
    def __init__(
        self,
        token: object,
        *,
        strict: bool,
        names: tuple[str, ...],
        unnamed: int,
        defaults: Sequence[object],
        more_positional: bool,
        keywords: Sequence[tuple[str, object]],
        more_keywords: bool,
    ) -> None: ...
