/* The fields of layout.h as data, in their order: names, places and types are the compiler's, so that
 * nobody tells them twice. Python packs and unpacks by them, and FORMAT.md is held against them. */
#ifndef FASTMEM_FIELDS_H
#define FASTMEM_FIELDS_H
#include "layout.h"

#define FM_CODE(field)                                                                        \
    _Generic((field), uint8_t: 'B', uint16_t: 'H', uint32_t: 'I', uint64_t: 'Q', int64_t: 'q',     \
             default: 's')
#define FM_FIELD(of, name)                                                                    \
    {#of, #name, offsetof(fm_##of, name), sizeof(((fm_##of *)0)->name),                       \
     FM_CODE(((fm_##of *)0)->name)}

typedef struct {
    const char *of;   /* fm_<of> */
    const char *name;
    size_t offset;
    size_t bytes;
    char code;        /* the struct module's; 's' for bytes */
} fm_field;

static const fm_field fm_fields[] = {
    FM_FIELD(segment, magic),
    FM_FIELD(segment, format),
    FM_FIELD(segment, segment_bytes),
    FM_FIELD(segment, uuid),
    FM_FIELD(segment, number),
    FM_FIELD(segment, salt),
    FM_FIELD(segment, spare),
    FM_FIELD(segment, check),

    FM_FIELD(record, hcheck),
    FM_FIELD(record, bcheck),
    FM_FIELD(record, deadline_ns),
    FM_FIELD(record, klen),
    FM_FIELD(record, vlen),
    FM_FIELD(record, kind),
    FM_FIELD(record, flags),
    FM_FIELD(record, codec),
    FM_FIELD(record, dictionary),
    FM_FIELD(record, mac_key),
    FM_FIELD(record, written_high),
    FM_FIELD(record, written_low),

    FM_FIELD(cold, origin),
    FM_FIELD(cold, raw_len),
    FM_FIELD(cold, archived_s),

    FM_FIELD(skip, check),
    FM_FIELD(skip, units),

    FM_FIELD(pointer, id),
    FM_FIELD(pointer, length),
    FM_FIELD(pointer, checksum),

    FM_FIELD(super, magic),
    FM_FIELD(super, format),
    FM_FIELD(super, segment_bytes),
    FM_FIELD(super, uuid),
    FM_FIELD(super, salt),
    FM_FIELD(super, created_ns),
    FM_FIELD(super, check),
    FM_FIELD(super, opens),
    FM_FIELD(super, boot_id),
    FM_FIELD(super, index_dev),
    FM_FIELD(super, index_ino),
    FM_FIELD(super, archive_uuid),
    FM_FIELD(super, trust_check),
    FM_FIELD(super, clean),
    FM_FIELD(super, lock),
    FM_FIELD(super, waiters),
    FM_FIELD(super, pad2),
    FM_FIELD(super, spare2),
    FM_FIELD(super, tail),
    FM_FIELD(super, head),
    FM_FIELD(super, synced),
    FM_FIELD(super, cold_tail),
    FM_FIELD(super, cold_head),
    FM_FIELD(super, cold_synced),
    FM_FIELD(super, tail_inverse),
    FM_FIELD(super, cold_tail_inverse),
    FM_FIELD(super, changes),
    FM_FIELD(super, value_changes),
    FM_FIELD(super, joined),
    FM_FIELD(super, section),
    FM_FIELD(super, sync_failed),
    FM_FIELD(super, damaged),
    FM_FIELD(super, cold_damaged),
    FM_FIELD(super, syncing),
    FM_FIELD(super, anchor_wall_ns),
    FM_FIELD(super, anchor_boot_ns),
    FM_FIELD(super, latest_wall_ns),
    FM_FIELD(super, clock_check),
    FM_FIELD(super, spare5),
    FM_FIELD(super, key_check),
    FM_FIELD(super, key_sum),
    FM_FIELD(super, spare6),

    FM_FIELD(processes, magic),
    FM_FIELD(processes, format),
    FM_FIELD(processes, slots),
    FM_FIELD(processes, line_bytes),
    FM_FIELD(processes, touched_bits),
    FM_FIELD(processes, check),
    FM_FIELD(processes, spare),
    FM_FIELD(processes, process),
    FM_FIELD(processes, touched),

    FM_FIELD(process, incarnation),
    FM_FIELD(process, open),
    FM_FIELD(process, spare),

    FM_FIELD(index, magic),
    FM_FIELD(index, format),
    FM_FIELD(index, initial_level),
    FM_FIELD(index, uuid),
    FM_FIELD(index, check),
    FM_FIELD(index, opens),
    FM_FIELD(index, digest),
    FM_FIELD(index, heads),
    FM_FIELD(index, directory),
    FM_FIELD(index, archive_opens),
    FM_FIELD(index, spare1),
    FM_FIELD(index, warm_entries),
    FM_FIELD(index, cold_entries),
    FM_FIELD(index, overflow_next),
    FM_FIELD(index, bucket_room),
    FM_FIELD(index, overflow_room),
    FM_FIELD(index, spare2),
    FM_FIELD(index, redo_armed),
    FM_FIELD(index, redo_slot),
    FM_FIELD(index, redo_word),
    FM_FIELD(index, redo_home),
    FM_FIELD(index, redo_warm),
    FM_FIELD(index, redo_cold),
    FM_FIELD(index, redo_overflow),
    FM_FIELD(index, spare3),

    FM_FIELD(overflow, magic),
    FM_FIELD(overflow, format),
    FM_FIELD(overflow, pad),
    FM_FIELD(overflow, uuid),
    FM_FIELD(overflow, check),
    FM_FIELD(overflow, spare),

    FM_FIELD(bucket, version),
    FM_FIELD(bucket, slot),

    FM_FIELD(value, magic),
    FM_FIELD(value, format),
    FM_FIELD(value, klen),
    FM_FIELD(value, pointer.id),
    FM_FIELD(value, pointer.length),
    FM_FIELD(value, pointer.checksum),
    FM_FIELD(value, check),

    FM_FIELD(dictionary, magic),
    FM_FIELD(dictionary, format),
    FM_FIELD(dictionary, number),
    FM_FIELD(dictionary, length),
    FM_FIELD(dictionary, checksum),
    FM_FIELD(dictionary, check),
};
#define FM_FIELD_COUNT (sizeof(fm_fields) / sizeof(fm_fields[0]))
#endif
