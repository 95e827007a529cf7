from typing import Self

class Descriptor:
    fd: int
    def __new__(cls, fd: int, inherited: bool = True) -> Self: ...
