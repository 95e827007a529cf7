"""`Memo`: a function whose results a cache keeps, called through C from arguments to result.

A hit makes a key and looks it up; everything else is in loader.pyx.
"""

from collections import namedtuple
from inspect import signature
from types import MethodType

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastmem._core.calls cimport BOUND, dict_of, tuple_of
from fastmem._core.leases cimport begins_with

from fastmem._core.cache import MISSING

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned long tp_flags
        Py_ssize_t tp_vectorcall_offset
        void* tp_call
    unsigned long Py_TPFLAGS_HAVE_VECTORCALL, Py_TPFLAGS_METHOD_DESCRIPTOR
    void Py_SET_TYPE(object, PyTypeObject*) noexcept
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    Py_ssize_t PyVectorcall_NARGS(size_t) noexcept
    object PyVectorcall_Call(object, object, object)
    object PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    PyObject** PySequence_Fast_ITEMS(object) noexcept

CacheInfo = namedtuple("CacheInfo", ["hits", "misses", "maxsize", "currsize"], module=__name__)

cdef object MISS = MISSING


cdef object enter_memo(PyObject* callee, PyObject** args, size_t flags, PyObject* names):
    cdef Memo self = <Memo>callee
    return self.call(args, PyVectorcall_NARGS(flags), names, self.owned)


cdef object enter_bound(PyObject* callee, PyObject** args, size_t flags, PyObject* names):
    """Calls with the instance in front; the caller mostly leaves room for it there."""
    cdef BoundMemo self = <BoundMemo>callee
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags)
    cdef Py_ssize_t total = count + (len(<tuple>names) if names != NULL else 0)
    cdef PyObject** moved
    cdef PyObject* before
    if flags & PY_VECTORCALL_ARGUMENTS_OFFSET:
        moved = args - 1
        before = moved[0]
        moved[0] = <PyObject*>self.__self__
        try:
            return self.__func__.call(moved, count + 1, names, BOUND)
        finally:
            moved[0] = before
    moved = <PyObject**>PyMem_Malloc((total + 1) * sizeof(PyObject*))
    if moved == NULL:
        raise MemoryError()
    try:
        moved[0] = <PyObject*>self.__self__
        memcpy(moved + 1, args, total * sizeof(PyObject*))
        return self.__func__.call(moved, count + 1, names, BOUND)
    finally:
        PyMem_Free(moved)


cdef class Memo(Loader):
    """What ``fastmem.memoize`` makes of a function; see there."""

    def __cinit__(self, function, cache, Calls calls, key_function, **_):
        if calls is None and key_function is None:
            raise TypeError("a memoized function needs something that makes its keys")
        self.entry_point = <vectorcall>enter_memo
        self.calls = calls
        if calls is not None and calls.names[:1] == ("self",):
            home = getattr(function, "__qualname__", "").rpartition(".")[0]
            if home and not home.endswith("<locals>"):
                self.owned = calls.may_be_of(function.__module__, home)
        self.key_function = key_function

    def __call__(self, *args, **kwargs):
        return PyVectorcall_Call(self, args, kwargs)

    def __set_name__(self, owner, name):
        """From here on it is a method of the class; to others' calls that makes no difference."""
        if self.calls is not None:
            self.owned = self.calls.may_be_of(owner.__module__, owner.__qualname__)
        if type(self) is Memo:
            Py_SET_TYPE(self, <PyTypeObject*>MemoMethod)

    def __get__(self, instance, owner):
        cdef BoundMemo bound
        if instance is None:
            return self
        bound = BoundMemo.__new__(BoundMemo)
        bound.entry_point = <vectorcall>enter_bound
        bound.__func__ = self
        bound.__self__ = instance
        return bound

    def __repr__(self):
        return f"<memoized {self.function!r}>"

    def __reduce__(self):
        """By its name, like any function."""
        return self.__qualname__

    cdef object key_of(
        self, PyObject** args, size_t count, PyObject* names, int owned, bint lasting
    ):
        if self.key_function is not None:
            return PyObject_Vectorcall(self.key_function, args, count, names)
        return self.calls.key_of(args, count, names, owned, lasting)

    cdef object key_from(self, tuple args, dict kwargs, int owned):
        cdef tuple names = tuple(kwargs)
        cdef tuple values = args + tuple(kwargs.values())
        key = self.key_of(
            PySequence_Fast_ITEMS(values), len(args), <PyObject*>names if names else NULL, owned,
            True,
        )
        if key is MISS:
            raise TypeError(f"{self.function!r} does not take these arguments")
        return key

    cdef object call(self, PyObject** args, size_t count, PyObject* names, int owned):
        cdef int64_t due = 0
        key = self.key_of(args, count, names, owned, False)
        if key is MISS:
            return PyObject_Vectorcall(self.function, args, count, names)  # says what is wrong
        value = self.find(key, &due)
        if value is not MISS and due == 0:
            if self.calls is not None:
                self.calls.spare(key)
            return value
        if self.calls is not None:
            self.calls.part_with(key)
        if value is MISS:
            return self.load(key, tuple_of(args, count), dict_of(args, count, names))
        self.refresh(key, due, tuple_of(args, count), dict_of(args, count, names))
        return value

    # ---------------------------------------------------------------- for callers

    def cache_key(self, /, *args, **kwargs):
        """The key in the cache of a call with these arguments; calls nothing but a ``key=``.

        ``TypeError`` when the function does not take them.
        """
        return self.key_from(args, kwargs, self.owned)

    def invalidate(self, /, *args, **kwargs):
        """Removes the result of a call with these arguments; whether there was one.

        What is being loaded for it is not stored, and callers from now on do not wait for it.
        ``TypeError`` when the function does not take these arguments.
        """
        return self.cache.delete(self.key_from(args, kwargs, self.owned))

    def cache_info(self):
        """``CacheInfo(hits, misses, maxsize, currsize)``: own calls, and bytes of the cache."""
        return CacheInfo(self.hits, self.misses, self.cache.budget, self.cache.table.used_bytes)

    def cache_parameters(self):
        """A new dict of what the function was memoized with; ``maxsize`` is the cache's bytes."""
        return {"maxsize": self.cache.budget, "typed": True, **self.parameters}

    def cache_clear(self):
        """Removes all results of this function and zeroes its counts. O(entries of the cache).

        What is being loaded is not stored. ``TypeError`` with a ``key=``: which entries are this
        function's only its author knows.
        """
        token = None if self.calls is None else self.calls.token
        if token is None:
            raise TypeError("with key= use invalidate(), or delete() and clear() of the cache")
        if self.cache.leases is not None:
            self.cache.leases.void_of(token)
        for key in list(self.cache):
            if begins_with(key, token):
                self.cache.delete(key)
        self.hits = self.misses = 0


@cython.auto_pickle(False)  # by name, as Memo
cdef class MemoMethod(Memo):
    """A `Memo` that a class body has given a name. ``instance.method(...)`` calls it with the
    instance in front, as the interpreter does with functions, and makes no bound method for that.
    A `Memo` that comes into a class later is not told, and stays one.
    """


@cython.final
@cython.freelist(8)
cdef class BoundMemo:
    # A memoized method of one instance. It has the doc string of its function.

    def __init__(self, Memo function not None, instance, /):
        if instance is None:
            raise TypeError("a bound method is bound to an instance")
        self.entry_point = <vectorcall>enter_bound
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args, **kwargs):
        return PyVectorcall_Call(self, args, kwargs)

    def __getattr__(self, name):
        return getattr(self.__func__, name)

    def __repr__(self):
        return f"<bound {self.__func__!r} of {self.__self__!r}>"

    def __reduce__(self):
        """As of any method: the instance, and the name under which that has it."""
        return getattr, (self.__self__, self.memo().__name__)

    @property
    def __doc__(self):
        return self.memo().__doc__

    @property
    def __signature__(self):
        """Without the instance."""
        return signature(MethodType(self.memo(), self.__self__))

    def __eq__(self, other):
        if type(other) is not BoundMemo:
            return NotImplemented
        return (
            self.__func__ is (<BoundMemo>other).__func__
            and self.__self__ is (<BoundMemo>other).__self__
        )

    def __hash__(self):
        return hash((id(self.__func__), id(self.__self__)))

    def cache_key(self, /, *args, **kwargs):
        """As of the function, for this instance."""
        return self.memo().key_from((self.__self__, *args), kwargs, BOUND)

    def invalidate(self, /, *args, **kwargs):
        """As of the function, for this instance."""
        return self.memo().cache.delete(self.cache_key(*args, **kwargs))

    cdef Memo memo(self):
        if self.__func__ is None:  # made by __new__ alone
            raise TypeError("this method is bound to nothing")
        return self.__func__


cdef int call_through_c(type kind, Py_ssize_t offset) except -1:
    cdef PyTypeObject* t = <PyTypeObject*>kind
    t.tp_vectorcall_offset = offset
    t.tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL
    t.tp_call = <void*>PyVectorcall_Call
    return 0


cdef PyObject* somewhere = <PyObject*>None  # where a field would lie, if this were one of them
call_through_c(Memo, <char*>&(<Memo>somewhere).entry_point - <char*>somewhere)
call_through_c(MemoMethod, <char*>&(<Memo>somewhere).entry_point - <char*>somewhere)
call_through_c(BoundMemo, <char*>&(<BoundMemo>somewhere).entry_point - <char*>somewhere)
(<PyTypeObject*>MemoMethod).tp_flags |= Py_TPFLAGS_METHOD_DESCRIPTOR
