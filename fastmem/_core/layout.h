/* The layout of every file of the store: one place for the reader and the writer.
 * FORMAT.md (fastmem/storage) is the prose. All integers are little-endian; a
 * big-endian build refuses to compile rather than write another format. */
#ifndef FASTMEM_LAYOUT_H
#define FASTMEM_LAYOUT_H
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "fastmem's files are little-endian"
#endif

#define FM_FORMAT 1u              /* what is written */
#define FM_FIRST_FORMAT 1u        /* the lowest that is read */
#define FM_UNIT 16u              /* a log address counts units of 16 bytes */
#define FM_UNIT_SHIFT 4
#define FM_PAGE 4096u
#define FM_SEGMENT_HEADER 64u    /* bytes before the first record of a segment */
#define FM_RECORD_HEADER 48u
#define FM_COLD_EXTENSION 16u
#define FM_INLINE_LIMIT (256u * 1024u) /* larger values live in files of their own */
#define FM_KEY_LIMIT 65536u
#define FM_MAC_BYTES 16u
#define FM_BODY_ALIGNMENT 64u
#define FM_MOST_LEVEL 26u /* 2^26 buckets, some 335 million entries; then chains grow */

#define FM_HEADER_UNITS (FM_SEGMENT_HEADER / FM_UNIT)
#define FM_SEAL_UNITS (FM_RECORD_HEADER / FM_UNIT)
#define FM_COLD_SEAL_UNITS ((FM_RECORD_HEADER + FM_COLD_EXTENSION) / FM_UNIT)

enum fm_kind { FM_VALUE = 1, FM_TOMBSTONE = 2, FM_SEAL = 3, FM_POINTER = 4 };
enum fm_flag { FM_SHADOWS_L3 = 1, FM_COMPRESSED = 2, FM_ALIGNED = 4, FM_COLD = 8 };
#define FM_KNOWN_FLAGS 15u

typedef struct {
    uint64_t hcheck;   /* XXH3 of the 40 bytes after it, the cold extension and the key,
                          seeded with salt ^ address: stale or forged bytes never validate */
    uint64_t bcheck;   /* XXH3 of the body (value and MAC) */
    int64_t deadline_ns; /* anchored wall clock; 0 = never */
    uint32_t klen;
    uint32_t vlen;     /* bytes of the value, MAC not counted */
    uint8_t kind;
    uint8_t flags;
    uint16_t codec;
    uint32_t dictionary;
    uint16_t mac_key;  /* 0 = no MAC follows the value */
    uint16_t written_high;
    uint32_t written_low; /* written: 48 bits of milliseconds since 1970, high part first */
} fm_record;

typedef struct {       /* follows the header of a cold record */
    uint64_t origin;   /* the log address that is its version */
    uint32_t raw_len;  /* value bytes before compression */
    uint32_t archived_s; /* seconds since 1970 */
} fm_cold;

typedef struct {       /* in place of a record: addresses that none takes */
    uint64_t check;    /* XXH3 of what follows, seeded with salt ^ address */
    uint64_t units;    /* how many, this one included */
} fm_skip;

typedef struct {
    uint64_t version;  /* bit 0 busy; the rest counts changes */
    uint64_t slot[7];  /* tag:16 | tier:1 | link:1 | location:46; the last may be a link */
} fm_bucket;

#define FM_TAG_SHIFT 48
#define FM_TAG_MASK (0xFFFFull << FM_TAG_SHIFT)
#define FM_TIER_BIT (1ull << 47)
#define FM_LINK_BIT (1ull << 46)
#define FM_LOCATION_MASK (FM_LINK_BIT - 1)
#define FM_OVERFLOW_ID (1ull << 40) /* bucket numbers from here on are overflow buckets */

typedef struct {       /* super: 4 KiB; each group on a cache line of its own */
    char magic[8];     /* "FASTMEM\0" */
    uint32_t format;
    uint32_t segment_bytes;
    uint8_t uuid[16];
    uint64_t salt;
    uint64_t created_ns;
    uint64_t check;    /* XXH3 of the 48 bytes before it */
    uint64_t opens;    /* times opened for writing; the index counts along */

    uint8_t boot_id[16];  /* the index is trusted only on this boot, device and inode */
    uint64_t index_dev;
    uint64_t index_ino;
    uint8_t archive_uuid[16]; /* the archive whose slots the index holds; zeros: none */
    uint64_t trust_check;     /* XXH3 of the 48 bytes before it */
    uint64_t clean;           /* not 0 between a clean close and the next opening */

    uint64_t lock;     /* the write lock's holder: slot:16 | incarnation:48, 0 = free */
    uint32_t waiters;  /* futex: not 0 while somebody waits for it */
    uint32_t pad2;
    uint64_t spare2[6];

    uint64_t tail;     /* units; the next address */
    uint64_t head;     /* units; all below was settled by reclaim: moved on, or gone for good */
    uint64_t synced;   /* units; everything below survives power loss */
    uint64_t cold_tail;
    uint64_t cold_head;
    uint64_t cold_synced;
    uint64_t tail_inverse;      /* ~tail and ~cold_tail, from whoever moved them, while the */
    uint64_t cold_tail_inverse; /* store is open: a tail that says something else is damaged */

    uint64_t changes;       /* counts segments that come and go, and growth of the index */
    uint64_t value_changes; /* counts value files that come and go */
    uint64_t joined;        /* counts processes that joined one that had the store open */
    uint64_t section;       /* who is at work on files, as in `lock`; 0 = nobody */
    uint64_t sync_failed;   /* 1: the device refused a sync since the store was opened; 2: before */
    uint64_t damaged;       /* 1 + the oldest warm segment, when a walk of it met damage */
    uint64_t cold_damaged;
    uint64_t syncing;       /* counts syncs that begin and end: odd while one is under way */

    int64_t anchor_wall_ns; /* now = anchor_wall + (BOOTTIME - anchor_boot) */
    int64_t anchor_boot_ns;
    int64_t latest_wall_ns; /* the latest time seen: a clock set back never revives */
    uint64_t clock_check;   /* XXH3 of the two anchors */
    uint64_t spare5[4];

    uint8_t key_check[16]; /* keyed BLAKE2b-128 of the uuid; zeros: made without a secret key */
    uint64_t key_sum;      /* XXH3 of it; 0: nobody knows */
    uint64_t spare6[5];
} fm_super;

typedef struct {       /* first page of the index */
    char magic[8];     /* "FMINDEX\0" */
    uint32_t format;
    uint32_t initial_level;
    uint8_t uuid[16];  /* the store's */
    uint64_t check;    /* XXH3 of the 32 bytes before it */
    uint64_t opens;    /* as in the super, or one more: an older index put back is behind */
    uint64_t digest;   /* at a clean close: of buckets in use, counts and tails */
    uint64_t heads;    /* XXH3 of head and cold_head then, seeded with the digest */

    uint64_t directory;     /* level:8 | split:56 */
    uint64_t archive_opens; /* of the archive's first page, when the store was opened last */
    uint64_t spare1[6];

    uint64_t warm_entries;
    uint64_t cold_entries;
    uint64_t overflow_next; /* overflow buckets ever taken; number 0 is never used */
    uint64_t bucket_room;   /* buckets that the file holds, while the store is open */
    uint64_t overflow_room;
    uint64_t spare2[3];

    uint64_t redo_armed;    /* one slot store and what belongs to it, redone after a death */
    uint64_t redo_slot;     /* 1 + bucket * 8 + slot; overflow buckets count from 2^40 */
    uint64_t redo_word;
    uint64_t redo_home;     /* bit 63: the record only moves, and the home's version stays */
    uint64_t redo_warm;
    uint64_t redo_cold;
    uint64_t redo_overflow;
    uint64_t spare3;
} fm_index;

typedef struct {       /* begins `overflow`, in the place of bucket 0, which is never used */
    char magic[8];     /* "FMOVERF\0" */
    uint32_t format;
    uint32_t pad;
    uint8_t uuid[16];  /* the store's */
    uint64_t check;    /* XXH3 of the 32 bytes before it */
    uint64_t spare[3];
} fm_overflow;

#define FM_PROCESSES 4096u
#define FM_TOUCHED_BITS (1u << 21)

typedef struct {       /* a process that has the store open; byte i of `procs` is locked while the
                          process in slot i lives */
    uint64_t incarnation; /* counts the processes that had the slot */
    uint64_t open;        /* not 0 until it was closed: whoever finds it is a dead one's heir */
    uint64_t spare[6];
} fm_process;

typedef struct {       /* the file `procs` of the directory that holds the store's first page */
    char magic[8];     /* "FMPROCS\0" */
    uint32_t format;
    uint32_t slots;        /* FM_PROCESSES */
    uint32_t line_bytes;   /* of each */
    uint32_t touched_bits; /* FM_TOUCHED_BITS */
    uint64_t check;        /* XXH3 of the 24 bytes before it */
    uint64_t spare[4];
    fm_process process[FM_PROCESSES];
    uint8_t touched[FM_TOUCHED_BITS / 8]; /* a bit for keys read since they were last asked for */
} fm_processes;

typedef struct {       /* first 64 bytes of a segment */
    char magic[8];     /* "FMWARM\0\0" or "FMCOLD\0\0" */
    uint32_t format;
    uint32_t segment_bytes;
    uint8_t uuid[16];
    uint64_t number;
    uint64_t salt;     /* lets a store with a lost super be opened again */
    uint64_t spare;
    uint64_t check;    /* XXH3 of the 56 bytes before it */
} fm_segment;

typedef struct {       /* the body of a POINTER record */
    uint64_t id;       /* of the value file that holds the value */
    uint64_t length;
    uint64_t checksum; /* XXH3 of the value */
} fm_pointer;

typedef struct {       /* begins a value file; then the key, zeros to 64 bytes, the value */
    char magic[8];     /* "FMVALUE\0" */
    uint32_t format;
    uint32_t klen;
    fm_pointer pointer; /* the record's */
    uint64_t check;    /* XXH3 of the 40 bytes before it and the key */
} fm_value;

typedef struct {       /* begins a dictionary's file; then the dictionary */
    char magic[8];     /* "FMDICT\0\0" */
    uint32_t format;
    uint32_t number;
    uint64_t length;
    uint64_t checksum; /* XXH3 of the dictionary */
    uint64_t check;    /* XXH3 of the 32 bytes before it */
} fm_dictionary;

_Static_assert(sizeof(fm_record) == FM_RECORD_HEADER, "record header");
_Static_assert(sizeof(fm_cold) == FM_COLD_EXTENSION, "cold extension");
_Static_assert(sizeof(fm_skip) == FM_UNIT, "skip");
_Static_assert(sizeof(fm_bucket) == 64, "bucket");
_Static_assert(sizeof(fm_super) == 7 * 64, "super lines");
_Static_assert(offsetof(fm_super, lock) == 128, "lock line");
_Static_assert(offsetof(fm_super, tail) == 192, "tail line");
_Static_assert(offsetof(fm_super, changes) == 256, "changes line");
_Static_assert(offsetof(fm_super, anchor_wall_ns) == 320, "clock line");
_Static_assert(offsetof(fm_super, key_check) == 384, "key line");
_Static_assert(sizeof(fm_process) == 64, "process line");
_Static_assert(offsetof(fm_processes, process) == 64, "process lines");
_Static_assert(sizeof(fm_index) == 4 * 64, "index header lines");
_Static_assert(offsetof(fm_super, clean) == 120, "clean close");
_Static_assert(sizeof(fm_pointer) == 24, "pointer");
_Static_assert(sizeof(fm_value) == 48, "value file header");
_Static_assert(sizeof(fm_dictionary) == 40, "dictionary header");
_Static_assert(sizeof(fm_overflow) == sizeof(fm_bucket), "overflow header");
_Static_assert(sizeof(fm_segment) == FM_SEGMENT_HEADER, "segment header");
#endif
