"""The history of fastmem's own speed and memory, commit by commit, for asv.

Peers are not here: their ratios belong to ``python -m benchmarks.ratios``, where both sides run in
one process. A commit without the class that a benchmark needs shows as n/a.
"""
