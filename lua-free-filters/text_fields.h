/*
 * Where text stands in answers: which strings of an event or a document were written by the model,
 * to which text each piece belongs, and which texts end. What is not known to be a name, an id or
 * another part of the protocol counts as text, so that nothing passes under a name that this code
 * has never heard of.
 */
#ifndef WEIR_FILTERS_TEXT_FIELDS_H
#define WEIR_FILTERS_TEXT_FIELDS_H

#include "lua-free-filters/filter.h"

typedef enum {
    WEIR_TEXT_CONTENT,
    WEIR_TEXT_REASONING,
    WEIR_TEXT_REFUSAL,
    WEIR_TEXT_ARGUMENTS, /* of a tool call: JSON in pieces */
    WEIR_TEXT_INPUT,     /* of a tool call: plain text, or a string of its arguments' object */
    WEIR_TEXT_OTHER,     /* a whole string of unknown meaning */
    WEIR_TEXT_KINDS
} weir_text_kind_t;

#define WEIR_TEXT_ALL UINT32_MAX

/*
 * Parts of a chat's choice, but for the calls of tools: 0, and of REASONING 1 for the member
 * "reasoning"; behind these, elements of lists that chat servers send beside them or in their
 * place: thinking_blocks, reasoning_details, and content as a list.
 */
#define WEIR_TEXT_THINKING      0x10000u
#define WEIR_TEXT_DETAILS       0x20000u
#define WEIR_TEXT_PARTS         0x30000u
#define WEIR_TEXT_LIST(part)    ((part)&0xffff0000u)
#define WEIR_TEXT_ELEMENT(part) ((part)&0xffffu)

typedef struct {
    uint32_t node; /* a string, the name of a member among them, or a number */
    weir_text_kind_t kind;
    uint32_t choice;  /* choice, content block or output item */
    uint32_t part;    /* tool call or content part in it; 0 */
    bool delta;       /* a piece of a text that goes on; otherwise a whole text */
    weir_str_t open;  /* of a text that goes on in a member that is not known: the JSON in the delta
                         in front of its string, which with kind, choice and part tells which text
                         it is (responses: the type of its events); else empty */
    weir_str_t close; /* and the JSON behind it */
} weir_text_field_t;

/* A text, or with WEIR_TEXT_ALL several, that gets no more pieces after this item. */
typedef struct {
    uint32_t choice;
    uint32_t part;
    uint32_t kind;   /* weir_text_kind_t or WEIR_TEXT_ALL */
    weir_str_t open; /* that of the field; data NULL: of any */
} weir_text_end_t;

typedef struct {
    weir_text_field_t *fields;
    uint32_t count;
    weir_text_end_t *ends;
    uint32_t end_count;
    uint32_t *logprobs; /* nodes whose tokens repeat the text */
    uint32_t logprob_count;
    weir_protocol_t shape; /* the protocol; where that is OTHER, the one that the item looks like */
    bool bare;             /* the event has one delta and nothing else: without text it may go */
    uint32_t sequence;     /* node of sequence_number, or WEIR_JSON_NONE */
    uint32_t item_id;      /* responses: node of item_id, or WEIR_JSON_NONE */
    uint32_t id, created, model; /* nodes of a chat chunk's head, or WEIR_JSON_NONE */
} weir_text_list_t;

/* Lists the texts of a scanned item. Everything in *out lies in arena. Errors: NOMEM. */
weir_status_t weir_text_fields(weir_protocol_t protocol, const weir_item_t *item,
                               const weir_json_doc_t *doc, weir_arena_t *arena,
                               weir_text_list_t *out);

#endif
