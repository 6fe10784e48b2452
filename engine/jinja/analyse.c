/* Questions about a compiled template that its user asks before rendering. */
#include "engine/jinja/ast.h"

typedef struct {
    const weir_jinja_template_t *tmpl;
    const char *word;
    bool *aliases; /* symbols that were set from an attribute named word, or are so named */
    bool mentioned;
    bool iterated;
    bool changed; /* a new alias was found: look again */
} look_t;

/* obj.word, obj['word'], obj.get('word'), an alias, or such a thing behind filters. */
static bool is_word(const look_t *l, const weir_jn_t *n)
{
    while (n != NULL && (n->kind == WEIR_JN_FILTER || n->kind == WEIR_JN_CALL)) {
        bool get = n->kind == WEIR_JN_CALL && n->a->kind == WEIR_JN_ATTR &&
                   weir_js_is(n->a->str, "get") && n->x.args->n_pos > 0 &&
                   n->x.args->pos[0]->kind == WEIR_JN_CONST &&
                   weir_jv_is(*n->x.args->pos[0]->x.value, WEIR_JV_STRING);
        if (get) {
            return weir_js_is(n->x.args->pos[0]->x.value->u.s, l->word);
        }
        if (n->kind == WEIR_JN_CALL) {
            return false;
        }
        n = n->a;
    }
    if (n == NULL) {
        return false;
    }
    switch ((weir_jnode_kind_t)n->kind) {
    case WEIR_JN_NAME:
        return l->aliases[n->sym];
    case WEIR_JN_ATTR:
        return weir_js_is(n->str, l->word);
    case WEIR_JN_ITEM:
        return n->b->kind == WEIR_JN_CONST && weir_jv_is(*n->b->x.value, WEIR_JV_STRING) &&
               weir_js_is(n->b->x.value->u.s, l->word);
    default:
        return false;
    }
}

static void look(look_t *l, const weir_jn_t *n);

static void look_args(look_t *l, const weir_jargs_t *args)
{
    for (uint32_t i = 0; i < args->n_pos; i++) {
        look(l, args->pos[i]);
    }
    for (uint32_t i = 0; i < args->n_kw; i++) {
        look(l, args->kw[i]);
    }
    look(l, args->star);
    look(l, args->star_star);
}

/* The names and literals of one node. */
static void look_words(look_t *l, const weir_jn_t *n)
{
    if (n->kind == WEIR_JN_NAME || n->kind == WEIR_JN_NSREF) {
        l->mentioned |= weir_js_is(l->tmpl->symbols[n->sym], l->word);
    } else if (n->kind == WEIR_JN_ATTR) {
        l->mentioned |= weir_js_is(n->str, l->word);
    } else if (n->kind == WEIR_JN_CONST && weir_jv_is(*n->x.value, WEIR_JV_STRING)) {
        l->mentioned |= weir_js_is(n->x.value->u.s, l->word);
    }
}

static void look(look_t *l, const weir_jn_t *n)
{
    if (n == NULL) {
        return;
    }
    look_words(l, n);
    if (n->kind == WEIR_JN_FOR) {
        l->iterated |= is_word(l, n->b);
    } else if (n->kind == WEIR_JN_SET && n->a->kind == WEIR_JN_NAME && is_word(l, n->b) &&
               !l->aliases[n->a->sym]) {
        l->aliases[n->a->sym] = true;
        l->changed = true;
    } else if ((n->kind == WEIR_JN_ATTR || n->kind == WEIR_JN_ITEM) && n->a->kind == WEIR_JN_ITEM &&
               is_word(l, n->a->a)) {
        /* word[0].text: an element's own field */
        l->iterated = true;
    }
    bool has_args = n->kind == WEIR_JN_CALL || n->kind == WEIR_JN_FILTER || n->kind == WEIR_JN_TEST;
    if (has_args) {
        look_args(l, n->x.args);
    } else if (n->kind == WEIR_JN_MACRO || n->kind == WEIR_JN_CALLBLOCK) {
        for (uint32_t i = 0; i < n->x.fn->n_defaults; i++) {
            look(l, n->x.fn->defaults[i]);
        }
        look(l, n->x.fn->body);
    }
    look(l, n->a);
    look(l, n->b);
    look(l, n->c);
    for (uint32_t i = 0; i < n->n; i++) {
        look(l, n->list[i]);
    }
}

bool weir_jinja_mentions(const weir_jinja_template_t *tmpl, const char *word)
{
    bool aliases[4096] = {false};
    look_t l = {.tmpl = tmpl, .word = word, .aliases = aliases};
    look(&l, tmpl->root);
    return l.mentioned;
}

bool weir_jinja_iterates(const weir_jinja_template_t *tmpl, const char *attr)
{
    bool aliases[4096] = {false};
    look_t l = {.tmpl = tmpl, .word = attr, .aliases = aliases};
    for (uint32_t i = 0; i < tmpl->n_symbols; i++) {
        aliases[i] = weir_js_is(tmpl->symbols[i], attr);
    }
    /* A set behind its use, in a loop, counts too: go on until nothing new is found. */
    for (int pass = 0; pass < 8; pass++) {
        l.changed = false;
        look(&l, tmpl->root);
        if (!l.changed) {
            break;
        }
    }
    return l.iterated;
}
