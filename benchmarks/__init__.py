"""fastmem's benchmarks: one set of workloads, used by asv, pytest-benchmark and the ratio table."""
