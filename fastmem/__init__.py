"""Memory for latency-sensitive Python: L1 in process, L2 in mapped segments, L3 in a zstd archive."""

from fastmem.errors import *  # noqa: F403
