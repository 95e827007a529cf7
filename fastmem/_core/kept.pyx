"""Exceptions that a cache keeps where a value would be."""

import copy


class Kept:
    """An exception in the place of a value. It is raised as a copy, and so grows no traceback."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = copy_of(error)

    def __reduce__(self):
        return type(self), (self.error,)


cdef object KEPT = Kept


def copy_of(error):
    """The same exception without traceback and context, which would keep frames alive."""
    try:
        made = copy.copy(error)
    except Exception:
        made = None
    if type(made) is not type(error):  # its constructor takes other arguments than it passes on
        made = type(error).__new__(type(error), *error.args)
        made.__dict__.update(error.__dict__)
    return made.with_traceback(None)


cpdef object given(object value):
    """`value`, or, when that stands for an exception, raises it."""
    if type(value) is KEPT:
        raise copy_of(value.error)
    return value
