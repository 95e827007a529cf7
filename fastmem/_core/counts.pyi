class Counts:
    hits: int
    misses: int
    promotions: int
