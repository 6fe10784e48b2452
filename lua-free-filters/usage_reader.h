/* The state of a usage reader; private to usage*.c. */
#ifndef WEIR_FILTERS_USAGE_READER_H
#define WEIR_FILTERS_USAGE_READER_H

#include "lua-free-filters/usage.h"

#define WEIR_USAGE_MAX_MODEL 256
#define WEIR_USAGE_MAX_ID    128

/* Reading one JSON document from pieces; see usage_document.c. */
typedef struct {
    uint32_t depth;         /* containers around the byte at hand */
    uint64_t arrays;        /* bit d - 1: the container of depth d is an array */
    uint8_t top;            /* the known key of the root object under which the value stands */
    uint8_t last;           /* the last key read, if known */
    uint8_t capturing;      /* the known key whose value is being copied */
    uint32_t capture_depth; /* of the container around it */
    uint8_t key_len;        /* of the key being read; over sizeof(key): unknown */
    char key[24];
    bool root; /* the root value has begun */
    bool bad;  /* not JSON, or nested too deep */
    bool in_string;
    bool escape;   /* behind a backslash */
    bool is_key;   /* the string at hand is a key */
    bool want_key; /* the next string is one */
    bool text;     /* the string at hand is text of the answer */
    bool too_long; /* what is being copied */
    char tail[6];  /* text: an escape cut by the end of a piece */
    uint8_t tail_len;
    weir_buf_t capture;
} weir_usage_document_t;

struct weir_usage_reader {
    weir_usage_t usage;
    weir_arena_t *arena;
    weir_usage_document_t document;
};

/* An event's data as scanned JSON (NULL: it is none) and the members of its root. */
weir_status_t weir_usage_read_event(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                                    const weir_members_t *m);

/* Members that streamed events and whole documents share. */
weir_status_t weir_usage_keep(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                              uint32_t node, size_t max, weir_str_t *out);
void weir_usage_finish(weir_usage_t *usage, weir_finish_t finish);
void weir_usage_tools(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t tools);

/* Counts text that may end inside an escape; returns how many bytes of one are left over. */
size_t weir_text_count_piece(weir_text_count_t *count, weir_str_t raw);

/* The next piece of a JSON document; its end. */
weir_status_t weir_usage_document_feed(weir_usage_reader_t *reader, const char *data, size_t len);
weir_status_t weir_usage_document_end(weir_usage_reader_t *reader);

#endif
