"""What a step answers, and what the log would like its owner to do: one vocabulary for all."""

cdef enum:
    # How a step of appending.pxd ended. Unless DONE, nothing has changed.
    DONE = 0
    NEED_SEGMENT = 1       # it needs this first: LogNeeds
    NEED_OVERFLOW = 2
    NEED_COLD_SEGMENT = 3
    STALE = 4              # the key's record is not the one that was meant
    HELD = 5               # somebody else has the write lock

cdef enum:
    # What the log would like done soon, as bits of `chores`.
    CHORE_BUCKETS = 1      # room for more buckets
    CHORE_OVERFLOW = 2     # room for more overflow buckets
    CHORE_GROWTH = 3       # either
    CHORE_PACE = 4         # reclaim a little
    CHORE_POPULATE = 8     # fault in the pages ahead of the tail
    # 16 is the engine's own (room.py). All of them make a number under 257, which takes no memory.
