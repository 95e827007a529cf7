class Lease:
    key: object
    held: bool

class Leases: ...
