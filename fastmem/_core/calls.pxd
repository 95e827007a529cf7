"""Keys made of the arguments of a call."""

from cpython.object cimport PyObject


# From C's arguments to Python's: `count` of `args` are positional, then come those of `names`.
cdef tuple tuple_of(PyObject** args, Py_ssize_t count)
cdef dict dict_of(PyObject** args, Py_ssize_t count, PyObject* names)


# Whether the first argument of a call is the instance that the function is a method of: no; if it
# is of a class that has the function; in any case.
cdef enum:
    NOBODYS = 0
    MAYBE = 1
    BOUND = 2


cdef class Calls:
    cdef object token          # what tells the function from others: the first part of its keys
    cdef bint strict           # keys for the tiers
    cdef tuple names           # of the parameters that take positional arguments
    cdef Py_ssize_t plain      # a call with so many arguments, all positional, needs no binding
    cdef Py_ssize_t unnamed    # the first so many of them take nothing else
    cdef tuple defaults        # their parts, MISSING where there is none; as long as `names`
    cdef bint more_positional  # *args
    cdef tuple keywords        # (name, part of its default or MISSING) of keyword-only parameters
    cdef bint more_keywords    # **kwargs
    cdef tuple scratch         # a key to be filled again, while nobody else holds it; or None
    cdef object last_owner     # a weak reference, and what stands for whom it refers to
    cdef object last_instance
    cdef set homes             # (module, qualified name) of the classes that have the function
    cdef dict owners           # id of an instance -> (weak reference, what stands for it)

    # The key of a call; MISSING when the function does not take these arguments. An
    # instance that it is a method of does not become part of the key.
    # Unless it is `lasting`, it is to be handed to `spare` when it was only looked up, else to
    # `part_with`.
    cdef object key_of(
        self, PyObject** args, Py_ssize_t count, PyObject* names, int owned, bint lasting
    )
    cdef void spare(self, object key) noexcept
    cdef void part_with(self, object key) noexcept
    cdef object key_of_any(self, PyObject** args, Py_ssize_t count, PyObject* names, int owned)
    # Notes such a class; what calls that nobody bound are from now on.
    cdef int may_be_of(self, str module, str home) except -1
    cdef bint is_of(self, object instance) except -1
    cdef object part_of_owner(self, object owner, int owned)
    cdef object part_of_default(self, object value)
