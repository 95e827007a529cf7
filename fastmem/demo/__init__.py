"""The demonstration: an expensive analysis of real files, cached through a kill -9.

:mod:`~fastmem.demo.analysis` is the computation, :mod:`~fastmem.demo.workload` asks for its
results in a skewed, drifting order, :mod:`~fastmem.demo.child` does so in a process that is
killed, :mod:`~fastmem.demo.run` leads the whole through the kill, :mod:`~fastmem.demo.ledger`
keeps what was seen, and :mod:`~fastmem.demo.report` draws it.
"""
