#include "lua-free-filters/filter_members.h"

static uint32_t *member_of(weir_members_t *m, weir_str_t key)
{
#define KEY(name)                                          \
    if (memcmp(key.data, #name, sizeof(#name) - 1) == 0) { \
        return &m->name;                                   \
    }
    switch (key.len) {
    case 2:
        KEY(id)
        break;
    case 4:
        KEY(type)
        break;
    case 5:
        KEY(model) KEY(delta) KEY(usage) KEY(error) KEY(index) break;
    case 6:
        KEY(object) KEY(status) break;
    case 7:
        KEY(choices) KEY(message) KEY(created) break;
    case 8:
        KEY(response)
        break;
    case 10:
        KEY(created_at) KEY(tool_usage) KEY(background) break;
    case 13:
        KEY(content_block)
        break;
    case 15:
        KEY(sequence_number)
        break;
    case 18:
        KEY(incomplete_details)
        break;
    default:
        break;
    }
#undef KEY
    return &m->other;
}

void weir_members_find(const weir_json_doc_t *doc, uint32_t object, weir_members_t *m)
{
    memset(m, 0xff, sizeof(*m)); /* WEIR_JSON_NONE everywhere */
    if (!weir_members_is(doc, object, WEIR_JSON_OBJECT)) {
        return;
    }
    for (uint32_t i = doc->nodes[object].size, at = object + 1; i > 0; i--) {
        uint32_t *member = member_of(m, weir_members_text(doc, at));
        if (*member == WEIR_JSON_NONE) {
            *member = at + 1;
        }
        at = doc->nodes[at + 1].next;
    }
}
