"""`Calls`: from the arguments of a call to a key, the same however the call is spelled.

A key is a tuple: the function's token, for a method what stands for its instance, then a part for
each parameter, defaults filled in. The part of a str, bytes, int or None is itself, that of a tuple
the tuple of its parts. Any other object's is ``(type, object)``, so that 1, 1.0 and True are three;
no other part begins with a type. The tiers know only str, bytes, int and tuples: there the parts of
None, bool, float and classes are tuples that begin with a letter, and so are those of tuples.
"""

from functools import partial
from weakref import ref

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.type cimport PyType_Check

from fastmem._core.table cimport is_exact

from fastmem._core.cache import MISSING
from fastmem.errors import KeyTypeError

cdef extern from *:
    """
    static inline int fm_refers_to(PyObject *weak, PyObject *object) {
    #if PY_VERSION_HEX >= 0x030D0000
        PyObject *found = NULL;
        int same = PyWeakref_GetRef(weak, &found) > 0 && found == object;
        Py_XDECREF(found);
        return same;
    #else
        return PyWeakref_GET_OBJECT(weak) == object;
    #endif
    }

    /* Puts an item into a tuple that nobody else has seen. */
    static inline void fm_refill(PyObject *tuple, Py_ssize_t i, PyObject *item) {
        PyObject *old = PyTuple_GET_ITEM(tuple, i);
        Py_INCREF(item);
        PyTuple_SET_ITEM(tuple, i, item);
    #if PY_VERSION_HEX >= 0x030E0000
        ((PyTupleObject *)tuple)->ob_hash = -1;
    #endif
        Py_DECREF(old);
    }
    """
    bint refers_to "fm_refers_to"(PyObject* weak, object instance) noexcept
    void refill "fm_refill"(object key, Py_ssize_t i, PyObject* item) noexcept

cdef extern from "Python.h":
    void* type_of "Py_TYPE"(object o) noexcept
    object PyLong_FromVoidPtr(PyObject*)
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t) noexcept
    Py_ssize_t Py_REFCNT(object) noexcept
    bint Py_EnterRecursiveCall(const char* where) noexcept  # true, not -1, with RecursionError set
    void Py_LeaveRecursiveCall() noexcept

cdef object MISS = MISSING
cdef object KEYWORDS = type("Keywords", (), {"__slots__": (), "__repr__": lambda _: "*"})()


class Instance:
    """Stands in keys for an instance, equal to no other, without a reference to it."""

    __slots__ = ()


def forget(owners, at, dead):
    """When an instance dies: nothing of it is kept but the entries of its calls."""
    if owners.get(at, (None,))[0] is dead:
        del owners[at]


cdef int enter_recursion() except -1:
    return -1 if Py_EnterRecursiveCall(" in the key of a call") else 0


cdef tuple parts_of(tuple values, bint strict):
    enter_recursion()
    try:
        parts = [part_of(value, strict) for value in values]
    finally:
        Py_LeaveRecursiveCall()
    return ("t", *parts) if strict else tuple(parts)


cdef object part_of(object value, bint strict):
    if is_exact(type_of(value)):
        return value
    if type(value) is tuple:
        return parts_of(value, strict)
    if not strict:
        return None if value is None else (type(value), value)
    if value is None:
        return ("n",)
    if type(value) is bool:
        return ("b", int(value))
    if type(value) is float:
        return ("f", value.hex())
    if isinstance(value, type) and "<" not in value.__qualname__:
        return ("c", value.__module__, value.__qualname__)
    raise KeyTypeError(
        f"the tiers make keys of str, bytes, int, float, bool, None and tuples of these, "
        f"not of {type(value).__name__}: give memoize a key="
    )


cdef tuple tuple_of(PyObject** args, Py_ssize_t count):
    cdef tuple made = PyTuple_New(count)
    cdef Py_ssize_t i
    for i in range(count):
        Py_INCREF(<object>args[i])
        PyTuple_SET_ITEM(made, i, <object>args[i])
    return made


cdef dict dict_of(PyObject** args, Py_ssize_t count, PyObject* names):
    cdef dict made = {}
    cdef Py_ssize_t i
    if names != NULL:
        for i in range(len(<tuple>names)):
            made[(<tuple>names)[i]] = <object>args[count + i]
    return made


cdef inline bint all_exact(PyObject** args, Py_ssize_t count) noexcept:
    cdef Py_ssize_t i
    for i in range(count):
        if not is_exact(type_of(<object>args[i])):
            return False
    return True


cdef class Calls:
    """The keys of one function's calls."""

    def __cinit__(
        self, token, *, bint strict, tuple names not None, unnamed, defaults, more_positional,
        keywords, more_keywords,
    ):
        self.token = token
        self.strict = strict
        self.names = names
        self.unnamed = unnamed
        self.defaults = tuple([self.part_of_default(value) for value in defaults])
        self.more_positional = more_positional
        self.keywords = tuple([(name, self.part_of_default(value)) for name, value in keywords])
        self.more_keywords = more_keywords
        self.plain = -1 if keywords or more_keywords else len(names)
        self.owners = {}
        self.homes = set()

    cdef object part_of_default(self, object value):
        """A default that makes no key is known by being left out."""
        if value is MISS:
            return MISS
        try:
            part = part_of(value, self.strict)
            hash(part)
        except TypeError:
            return ("d",) if self.strict else KEYWORDS
        return part

    cdef int may_be_of(self, str module, str home) except -1:
        self.homes.add((module, home))
        return MAYBE

    cdef bint is_of(self, object instance) except -1:
        for kind in type(instance).__mro__:
            if (kind.__module__, kind.__qualname__) in self.homes:
                return True
        return False

    cdef object part_of_owner(self, object owner, int owned):
        """What stands for the instance that a method is called on, if it is one."""
        if PyType_Check(owner):
            return part_of(owner, self.strict)
        if self.strict:
            if owned == MAYBE and not self.is_of(owner):
                return part_of(owner, True)
            raise KeyTypeError(
                f"the tiers outlive every {type(owner).__name__}: give memoize a key= that names it"
            )
        if self.last_owner is not None and refers_to(<PyObject*>self.last_owner, owner):
            return self.last_instance
        at = PyLong_FromVoidPtr(<PyObject*>owner)
        found = self.owners.get(at)
        if found is not None and refers_to(PyTuple_GET_ITEM(found, 0), owner):
            self.last_owner, self.last_instance = found
            return found[1]
        if owned == MAYBE and not self.is_of(owner):
            return part_of(owner, False)
        try:
            weak = ref(owner, partial(forget, self.owners, at))
        except TypeError:
            raise TypeError(
                f"{type(owner).__name__} takes no weak references, and the cache must not keep it "
                "alive: give memoize a key="
            ) from None
        return self.owners.setdefault(at, (weak, Instance()))[1]

    cdef object key_of(
        self, PyObject** args, Py_ssize_t count, PyObject* names, int owned, bint lasting
    ):
        cdef tuple key
        cdef Py_ssize_t i, first = 0
        if names != NULL or count != self.plain:
            return self.key_of_any(args, count, names, owned)
        instance = None
        if owned and count:
            instance = self.part_of_owner(<object>args[0], owned)
            first = 1
        if not lasting and all_exact(args + first, count - first):
            key = self.scratch
            if key is None:
                key = self.scratch = (self.token, *[None] * count)
            if Py_REFCNT(key) == 2:  # the attribute's and this one
                if first:
                    refill(key, 1, <PyObject*>instance)
                for i in range(first, count):
                    refill(key, i + 1, args[i])
                return key
        key = PyTuple_New(count + 1)
        Py_INCREF(self.token)
        PyTuple_SET_ITEM(key, 0, self.token)
        if first:
            Py_INCREF(instance)
            PyTuple_SET_ITEM(key, 1, instance)
        for i in range(first, count):
            if is_exact(type_of(<object>args[i])):
                part = <object>args[i]
            else:
                part = part_of(<object>args[i], self.strict)
            Py_INCREF(part)
            PyTuple_SET_ITEM(key, i + 1, part)
        return key

    cdef void spare(self, object key) noexcept:
        cdef Py_ssize_t i
        if key is not self.scratch or key is None:
            return
        if Py_REFCNT(key) > 2:  # the attribute's, the caller's, and one of who keeps it
            self.scratch = None
        else:
            for i in range(1, len(<tuple>key)):
                refill(key, i, <PyObject*>None)

    cdef void part_with(self, object key) noexcept:
        if key is self.scratch:
            self.scratch = None

    cdef object key_of_any(self, PyObject** args, Py_ssize_t count, PyObject* names, int owned):
        cdef list key = [self.token]
        cdef dict given = dict_of(args, count, names)
        cdef Py_ssize_t i, positional = len(self.names)
        if count > positional and not self.more_positional:
            return MISS
        for i in range(count):
            if i == 0 and owned:
                key.append(self.part_of_owner(<object>args[0], owned))
            else:
                key.append(part_of(<object>args[i], self.strict))
            if self.unnamed <= i < positional and self.names[i] in given:
                return MISS
        for i in range(count, positional):
            part = self.defaults[i]
            if i >= self.unnamed and self.names[i] in given:
                part = part_of(given.pop(self.names[i]), self.strict)
            if part is MISS:
                return MISS
            key.append(part)
        if self.keywords or self.more_keywords:
            key.append(("k",) if self.strict else KEYWORDS)
        for name, part in self.keywords:
            if name in given:
                part = part_of(given.pop(name), self.strict)
            if part is MISS:
                return MISS
            key.append(part)
        if given and not self.more_keywords:
            return MISS
        for name in sorted(given):
            key.append(name)
            key.append(part_of(given[name], self.strict))
        return tuple(key)
