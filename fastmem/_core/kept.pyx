"""Exceptions that a cache keeps where a value would be."""

from types import MemberDescriptorType

cdef object MEMBERS = BaseExceptionGroup.exceptions  # whatever a subclass makes of it
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

    What it was raised from and, of a group, its members come with it in the same way, each once.
    """
    cdef dict copies = {}    # id of an exception -> its copy
    cdef list causes = []    # of each
    cdef list to_copy = [error]
    while to_copy:           # not by recursion: chains are as long as anybody makes them
        each = to_copy.pop()
        if id(each) in copies:
            continue
        members = members_of(each)
        absent = [member for member in members if id(member) not in copies]
        if absent:
            to_copy += [each, *absent]
            continue
        copies[id(each)] = bare_copy_of(each, [copies[id(member)] for member in members], copies)
        cause = each.__cause__
        causes.append((each, cause))
        if cause is not None:
            to_copy.append(cause)
    for each, cause in causes:
        made = copies[id(each)]
        if cause is not None:
            made.__cause__ = copies[id(cause)]
        made.__suppress_context__ = each.__suppress_context__
    return copies[id(error)]


cdef object bare_copy_of(object error, list members, dict copies):
    """A copy that was raised from nothing; `members` are those it has as a group."""
    kind = type(error)
    try:
        maker, args, *state = error.__reduce__()
        made = maker(*(with_copies(args, copies) if members else args))
    except Exception:
        made = None
    if type(made) is not kind:  # its constructor takes other arguments than it passes on
        builtin = next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)
        args = with_copies(error.args, copies) if members else error.args
        made = builtin.__new__(kind, *((error.message, members) if members else args))
        made.args = args
        state = [error.__dict__]
    if state and state[0]:
        made.__setstate__(state[0])
    notes = made.__dict__.get("__notes__")
    if type(notes) is list:  # to which everybody may add
        made.__notes__ = notes.copy()
    for base in kind.__mro__:
        if base.__flags__ & HEAP_TYPE:
            copy_slots(base, error, made)
    return made.with_traceback(None)


cdef tuple members_of(object error):
    return MEMBERS.__get__(error) if issubclass(type(error), BaseExceptionGroup) else ()


cdef tuple with_copies(tuple args, dict copies):
    """The arguments of a group, those that are its members replaced by their copies."""
    cdef list made = []
    for arg in args:
        if type(arg) is list or type(arg) is tuple:
            arg = type(arg)([copies.get(id(item), item) for item in arg])
        made.append(arg)
    return tuple(made)


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
