/* The hashes of keys, those of CPython: equal keys of any type must have equal ones. What is lying
 * there is read, not asked for: half of what a tuple's hash costs are calls for those of its parts. */
#ifndef FASTMEM_HASHES_H
#define FASTMEM_HASHES_H
#include <Python.h>

/* -1 when the hash is not lying there: an exact str knows its own once it was asked. */
static inline Py_hash_t fm_hash_at_hand(PyObject *key) {
    return PyUnicode_CheckExact(key) ? ((PyASCIIObject *)key)->hash : -1;
}

/* CPython 3.14 keeps the hash in the tuple. */
#if PY_VERSION_HEX < 0x030E0000 && SIZEOF_VOID_P == 8
/* Of an object whose type has not defined another: its address, turned by the four bits that are
 * always zero (Py_HashPointer). -1 with an exception set when a part has none. */
static inline Py_hash_t fm_part_hash(PyObject *part) {
    uintptr_t address = (uintptr_t)part;
    if (Py_TYPE(part)->tp_hash != PyBaseObject_Type.tp_hash) return PyObject_Hash(part);
    address = address >> 4 | address << (8 * sizeof(address) - 4);
    return address == (uintptr_t)-1 ? -2 : (Py_hash_t)address;
}

/* As Objects/tupleobject.c has it since 3.8: xxHash's rounds without its end. -1 with an exception
 * set when a part has none. */
static inline Py_hash_t fm_tuple_hash(PyObject *key) {
    const Py_uhash_t first = UINT64_C(11400714785074694791), second = UINT64_C(14029467366897019727);
    const Py_uhash_t fifth = UINT64_C(2870177450012600261);
    Py_ssize_t i, n = PyTuple_GET_SIZE(key);
    Py_uhash_t mixed = fifth;
    for (i = 0; i < n; i++) {
        PyObject *part = PyTuple_GET_ITEM(key, i);
        Py_hash_t hash = fm_hash_at_hand(part);
        if (hash == -1 && (hash = fm_part_hash(part)) == -1) return -1;
        mixed += (Py_uhash_t)hash * second;
        mixed = (mixed << 31 | mixed >> 33) * first;
    }
    mixed += (Py_uhash_t)n ^ (fifth ^ UINT64_C(3527539));
    return mixed == (Py_uhash_t)-1 ? 1546275796 : (Py_hash_t)mixed;
}
#else
#define fm_tuple_hash PyObject_Hash
#endif

static inline Py_hash_t fm_key_hash(PyObject *key) {
    Py_hash_t hash = fm_hash_at_hand(key);
    if (hash != -1) return hash;
    return PyTuple_CheckExact(key) ? fm_tuple_hash(key) : PyObject_Hash(key);
}
#endif
