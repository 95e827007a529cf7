/* The fields of layout.h that Python packs and unpacks, as data: their names, places and types
 * are the compiler's, so that nobody tells them twice. */
#ifndef FASTMEM_FIELDS_H
#define FASTMEM_FIELDS_H
#include "layout.h"

#define FM_CODE(field)                                                                        \
    _Generic((field), uint32_t: 'I', uint64_t: 'Q', int64_t: 'q', default: 's')
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
    FM_FIELD(super, tail),
    FM_FIELD(super, head),
    FM_FIELD(super, synced),
    FM_FIELD(super, cold_tail),
    FM_FIELD(super, cold_head),
    FM_FIELD(super, cold_synced),
    FM_FIELD(super, changes),
    FM_FIELD(super, value_changes),
    FM_FIELD(super, joined),
    FM_FIELD(super, section),
    FM_FIELD(super, sync_failed),
    FM_FIELD(super, damaged),
    FM_FIELD(super, cold_damaged),
    FM_FIELD(super, anchor_wall_ns),
    FM_FIELD(super, anchor_boot_ns),
    FM_FIELD(super, latest_wall_ns),
    FM_FIELD(super, clock_check),
    FM_FIELD(super, key_check),
    FM_FIELD(super, key_sum),

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
    FM_FIELD(index, overflow_next),

    FM_FIELD(index, bucket_room),
    FM_FIELD(index, overflow_room),

    FM_FIELD(processes, magic),
    FM_FIELD(processes, format),
    FM_FIELD(processes, process),
    FM_FIELD(process, incarnation),
    FM_FIELD(process, open),

    FM_FIELD(segment, magic),
    FM_FIELD(segment, format),
    FM_FIELD(segment, segment_bytes),
    FM_FIELD(segment, uuid),
    FM_FIELD(segment, number),
    FM_FIELD(segment, salt),
    FM_FIELD(segment, spare),
    FM_FIELD(segment, check),

    FM_FIELD(value, magic),
    FM_FIELD(value, format),
    FM_FIELD(value, klen),
    FM_FIELD(value, pointer.id),
    FM_FIELD(value, pointer.length),
    FM_FIELD(value, pointer.checksum),
    FM_FIELD(value, check),

    FM_FIELD(pointer, id),
    FM_FIELD(pointer, length),
    FM_FIELD(pointer, checksum),

    FM_FIELD(dictionary, magic),
    FM_FIELD(dictionary, format),
    FM_FIELD(dictionary, number),
    FM_FIELD(dictionary, length),
    FM_FIELD(dictionary, checksum),
};
#define FM_FIELD_COUNT (sizeof(fm_fields) / sizeof(fm_fields[0]))
#endif
