"""`Counts`: what reads of one tier have come to.

Numbers in C, which compiled verbs add to, and for which no memory can be refused.
"""


cdef class Counts:
    """Reads since a tier was opened, in this process."""
