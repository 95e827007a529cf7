"""Tier keys as canonical bytes: equal keys, and only those, have equal bytes."""

cdef bytes encode(object key)
