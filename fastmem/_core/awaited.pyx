"""`AsyncMemo`: an ``async def`` whose results a cache keeps.

A call is an awaitable that looks its key up when it is first awaited. A hit ends it there and then;
only a miss makes a coroutine.
"""

from collections.abc import Coroutine

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t

from fastmem._core.calls cimport dict_of, tuple_of
from fastmem._core.memo cimport Memo

from fastmem._core.cache import MISSING

cdef extern from *:
    """
    /* Ends an iterator with a value. An instance is made only of values that the exception would
       not take as they are. */
    static void fm_stop_with(PyObject *value) {
        if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
            if (stop == NULL) return;
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        } else {
            PyErr_SetObject(PyExc_StopIteration, value);
        }
    }
    """
    void stop_with "fm_stop_with"(object value) noexcept

cdef extern from "Python.h":
    ctypedef PyObject* (*iternextfunc)(PyObject*)
    ctypedef struct PyTypeObject:
        iternextfunc tp_iternext
    object PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    int PYGEN_RETURN
    int PyIter_Send(PyObject*, PyObject*, PyObject**) noexcept

cdef object MISS = MISSING


@cython.auto_pickle(False)  # by name, as Memo
cdef class AsyncMemo(Memo):
    """What ``fastmem.memoize`` makes of an ``async def``; see there."""

    cdef object loader  # an async def (memo, key, args, kwargs): what to await on a miss

    def __cinit__(self, *_, loader, **__):
        self.loader = loader

    cdef object call(self, PyObject** args, size_t count, PyObject* names, int owned):
        cdef Pending pending
        key = self.key_of(args, count, names, owned, True)
        if key is MISS:
            return PyObject_Vectorcall(self.function, args, count, names)  # says what is wrong
        pending = Pending.__new__(Pending)
        pending.memo = self
        pending.key = key
        pending.args = tuple_of(args, count)
        if names != NULL:
            pending.kwargs = dict_of(args, count, names)
        return pending


@cython.final
@cython.freelist(16)
cdef class Pending:
    """One call, to be awaited once."""

    cdef AsyncMemo memo     # None once it has begun
    cdef object key
    cdef tuple args
    cdef dict kwargs        # None: none
    cdef object coroutine   # of the loader, after a miss

    cdef object begin(self):
        """The value, if that is there; else MISSING, and then there is a coroutine."""
        cdef AsyncMemo memo = self.memo
        cdef int64_t due = 0
        if memo is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.memo = None
        value = memo.find(self.key, &due)
        if value is MISS:
            memo.misses += 1
            self.coroutine = memo.loader(memo, self.key, self.args, self.kwargs or {})
        elif due:
            memo.refresh(self.key, due, self.args, self.kwargs or {})
        return value

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value, /):
        """As of any coroutine."""
        if self.coroutine is None:
            found = self.begin()
            if found is not MISS:
                raise StopIteration(found)
        return self.coroutine.send(value)

    def throw(self, error, /, *details):
        """As of any coroutine."""
        if self.coroutine is not None:
            return self.coroutine.throw(error, *details)
        self.memo = None
        raise details[0] if details and details[0] is not None else error

    def close(self):
        """As of any coroutine."""
        self.memo = None
        if self.coroutine is not None:
            self.coroutine.close()


cdef PyObject* next_of(PyObject* callee) except? NULL:
    """``__next__`` in which a hit costs no exception with a traceback."""
    cdef Pending self = <Pending>callee
    cdef PyObject* result = NULL
    cdef int status
    if self.coroutine is None:
        found = self.begin()
        if found is not MISS:
            stop_with(found)
            return NULL
    status = PyIter_Send(<PyObject*>self.coroutine, <PyObject*>None, &result)
    if status == PYGEN_RETURN:
        stop_with(<object>result)
        Py_DECREF(<object>result)
        return NULL
    return result


Coroutine.register(Pending)
(<PyTypeObject*>Pending).tp_iternext = <iternextfunc>next_of
