"""What a step answers, and what the log would like its owner to do: one vocabulary for all."""

cdef enum:
    # How a step of appending.pxd ended. Unless DONE, nothing has changed.
    DONE = 0
    NEED_SEGMENT = 1       # it needs this first: LogNeeds, as all that begins so
    NEED_OVERFLOW = 2
    NEED_COLD_SEGMENT = 3
    STALE = 4              # the key's record is not the one that was meant
    NEED_LOCK = 5          # another process has the write lock
    NEED_MAPPING = 6       # another process has begun the segment that `unmapped` leads into
    NEED_REPAIR = 7        # a tail is damaged: the store must be opened again

cdef enum:
    # What the log would like done soon, as bits of `chores`.
    CHORE_BUCKETS = 1      # room for more buckets
    CHORE_OVERFLOW = 2     # room for more overflow buckets
    CHORE_GROWTH = 3       # either
    CHORE_PACE = 4         # reclaim a little
    CHORE_POPULATE = 8     # fault in the pages ahead of the tail
    CHORE_PAY = 16         # set and cleared by room.py alone, and when a process was found dead
    # All of them make a number under 257, which takes no memory.
