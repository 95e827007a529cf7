"""XXH3 at C speed without vendored source.

The ``xxhash`` wheel's extension exports the XXH3 C functions; ``bind`` looks them up in the
already loaded library and checks them against the wheel's Python API, which is the reference.
Digests are part of the file format: there is no second implementation to fall back to.
"""

from libc.stdint cimport uint64_t

cdef extern from "<dlfcn.h>" nogil:
    void* dlopen(const char* path, int mode)
    void* dlsym(void* handle, const char* name)
    int RTLD_NOW
    int RTLD_NOLOAD

cdef xxh3_t xxh3 = NULL
cdef xxh3_seeded_t xxh3_seeded = NULL


def bind(bytes path not None):
    """Bind to the loaded library at `path`. Return the names of missing symbols, empty when bound.

    ``XXH3_64bits_dispatch`` (SIMD chosen at run time) is preferred; plain ``XXH3_64bits`` gives
    the same digests and is taken where the wheel has no dispatcher (aarch64).
    """
    global xxh3, xxh3_seeded
    cdef void* handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD)
    if handle == NULL:
        return ["(library not loaded)"]
    cdef void* plain = dlsym(handle, "XXH3_64bits_dispatch")
    if plain == NULL:
        plain = dlsym(handle, "XXH3_64bits")
    cdef void* seeded = dlsym(handle, "XXH3_64bits_withSeed")
    if plain == NULL:
        return ["XXH3_64bits"]
    if seeded == NULL:
        return ["XXH3_64bits_withSeed"]
    xxh3 = <xxh3_t>plain
    xxh3_seeded = <xxh3_seeded_t>seeded
    return []


def digest(const unsigned char[::1] data not None):
    """Return the XXH3 64-bit digest of `data`, as records and value files carry it."""
    if xxh3 == NULL:
        raise RuntimeError("XXH3 is not bound")
    cdef const void* start = &data[0] if data.shape[0] else <const void*>b""
    return xxh3(start, data.shape[0])


def digest_seeded(const unsigned char[::1] data not None, uint64_t seed):
    """Return the seeded XXH3 64-bit digest of `data`, as record headers carry it."""
    if xxh3_seeded == NULL:
        raise RuntimeError("XXH3 is not bound")
    cdef const void* start = &data[0] if data.shape[0] else <const void*>b""
    return xxh3_seeded(start, data.shape[0], seed)
