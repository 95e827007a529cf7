"""The store's layout and shared-word operations, for the units that touch a file's bytes."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "atomics.h" nogil:
    uint64_t fm_load_acquire(const uint64_t* word) noexcept
    bint FM_PEEKS
    uint64_t FM_GONE
    uint64_t fm_peek(const uint64_t* word) noexcept
    uint64_t fm_load_settled(const uint64_t* word) noexcept
    uint64_t fm_load_relaxed(const uint64_t* word) noexcept
    void fm_store_release(uint64_t* word, uint64_t value) noexcept
    void fm_store_relaxed(uint64_t* word, uint64_t value) noexcept
    int fm_swap_acquire(uint64_t* word, uint64_t expected, uint64_t desired) noexcept
    void fm_exchange(uint64_t* word, uint64_t value) noexcept
    uint64_t fm_add(uint64_t* word, uint64_t value) noexcept
    uint32_t fm_load_flag(const uint32_t* flag) noexcept
    void fm_store_flag(uint32_t* flag, uint32_t value) noexcept
    void fm_set_bits(uint8_t* byte, uint8_t bits) noexcept
    void fm_clear_bits(uint8_t* byte, uint8_t bits) noexcept
    void fm_pause() noexcept

cdef extern from "layout.h" nogil:
    enum:
        FM_FORMAT
        FM_FIRST_FORMAT
        FM_UNIT
        FM_UNIT_SHIFT
        FM_PAGE
        FM_SEGMENT_HEADER
        FM_RECORD_HEADER
        FM_COLD_EXTENSION
        FM_INLINE_LIMIT
        FM_KEY_LIMIT
        FM_MAC_BYTES
        FM_BODY_ALIGNMENT
        FM_MOST_LEVEL
        FM_HEADER_UNITS
        FM_SEAL_UNITS
        FM_COLD_SEAL_UNITS
        FM_VALUE
        FM_TOMBSTONE
        FM_SEAL
        FM_POINTER
        FM_SHADOWS_L3
        FM_COMPRESSED
        FM_ALIGNED
        FM_COLD
        FM_KNOWN_FLAGS
        FM_TAG_SHIFT
        FM_PROCESSES
        FM_TOUCHED_BITS
    const uint64_t FM_TAG_MASK
    const uint64_t FM_TIER_BIT
    const uint64_t FM_LINK_BIT
    const uint64_t FM_LOCATION_MASK
    const uint64_t FM_OVERFLOW_ID

    ctypedef struct fm_record:
        uint64_t hcheck
        uint64_t bcheck
        int64_t deadline_ns
        uint32_t klen
        uint32_t vlen
        uint8_t kind
        uint8_t flags
        uint16_t codec
        uint32_t dictionary
        uint16_t mac_key
        uint16_t written_high
        uint32_t written_low

    ctypedef struct fm_cold:
        uint64_t origin
        uint32_t raw_len
        uint32_t archived_s

    ctypedef struct fm_skip:
        uint64_t check
        uint64_t units

    ctypedef struct fm_bucket:
        uint64_t version
        uint64_t[7] slot

    ctypedef struct fm_super:
        uint64_t salt
        uint32_t segment_bytes
        uint64_t lock
        uint32_t waiters
        uint64_t changes
        uint64_t value_changes
        uint64_t joined
        uint64_t sync_failed
        uint64_t syncing
        uint64_t tail
        uint64_t head
        uint64_t synced
        uint64_t cold_tail
        uint64_t cold_head
        uint64_t cold_synced
        uint64_t tail_inverse
        uint64_t cold_tail_inverse
        int64_t latest_wall_ns

    ctypedef struct fm_index:
        uint32_t initial_level
        uint64_t directory
        uint64_t warm_entries
        uint64_t cold_entries
        uint64_t overflow_next
        uint64_t bucket_room
        uint64_t overflow_room
        uint64_t redo_armed
        uint64_t redo_slot
        uint64_t redo_word
        uint64_t redo_home
        uint64_t redo_warm
        uint64_t redo_cold
        uint64_t redo_overflow

    ctypedef struct fm_process:
        uint64_t incarnation

    ctypedef struct fm_processes:
        fm_process[4096] process
        uint8_t[262144] touched

    ctypedef struct fm_pointer:
        uint64_t id
        uint64_t length
        uint64_t checksum
