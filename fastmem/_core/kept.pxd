"""Exceptions in the place of values."""

# A value as a caller gets it: an exception that was kept is raised.
cpdef object given(object value)
