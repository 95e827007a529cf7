"""Exceptions that a cache keeps where a value would be."""

from types import MemberDescriptorType

cdef unsigned long HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that Python code defines


class Kept:
    """An exception in the place of a value. It is raised as a copy, and so grows no traceback."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = copy_of(error)

    def __reduce__(self):
        return type(self), (self.error,)


cdef object KEPT = Kept


def copy_of(error):
    """The same exception without traceback and context, which would keep frames alive.

    What it was raised from comes with it, in the same way.
    """
    made = bare_copy_of(error)
    known = {id(error): made}
    source, target = error, made
    while source.__cause__ is not None:
        cause = source.__cause__
        seen = id(cause) in known
        if not seen:
            known[id(cause)] = bare_copy_of(cause)
        target.__cause__ = known[id(cause)]
        target.__suppress_context__ = source.__suppress_context__
        if seen:
            return made
        source, target = cause, known[id(cause)]
    target.__suppress_context__ = source.__suppress_context__
    return made


cdef object bare_copy_of(object error):
    kind = type(error)
    try:
        maker, args, *state = error.__reduce__()
        made = maker(*args)
    except Exception:
        made = None
        state = [error.__dict__]
    if type(made) is not kind:  # its constructor takes other arguments than it passes on
        builtin = next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)
        made = builtin.__new__(kind, *error.args)
        made.args = error.args
        state = [error.__dict__]
    if state and state[0]:
        made.__setstate__(state[0])
    for base in kind.__mro__:
        if base.__flags__ & HEAP_TYPE:
            copy_slots(base, error, made)
    return made.with_traceback(None)


cdef int copy_slots(object base, object error, object made) except -1:
    for name, slot in vars(base).items():
        if type(slot) is MemberDescriptorType:
            try:
                value = getattr(error, name)
            except AttributeError:  # never assigned
                continue
            setattr(made, name, value)
    return 0


cpdef object given(object value):
    """`value`, or, when that stands for an exception, raises it."""
    if type(value) is KEPT:
        raise copy_of(value.error)
    return value
