/* The policies document: the base and policies with names. */
#include "policies/policy_layer.h"

static weir_status_t load_named(const weir_document_t *doc, weir_policy_names_t *out)
{
    json_t *policies = json_object_get(doc->root, "policies");
    const char *name;
    json_t *object;
    weir_status_t rc;

    if (policies == NULL) {
        return WEIR_OK;
    }
    if (!json_is_object(policies)) {
        return weir_document_fail(doc, "policies", "expected an object, found %s",
                                  weir_document_type(policies));
    }
    out->layers =
        weir_arena_calloc(doc->arena, json_object_size(policies), sizeof(weir_policy_layer_t *));
    if (out->layers == NULL) {
        return weir_document_nomem(doc);
    }
    json_object_foreach(policies, name, object)
    {
        const weir_path_t at = weir_path_member("policies", name);
        if (!weir_document_id_ok(weir_str(name, strlen(name)))) {
            return weir_document_fail(doc, at.text,
                                      "expected a name of 1 to 64 of a-z 0-9 . _ -, the first a "
                                      "letter or digit");
        }
        rc = weir_policy_layer_parse(doc, object, at.text, WEIR_LEVEL_BASE,
                                     &out->layers[out->n_layers]);
        if (rc != WEIR_OK) {
            return rc;
        }
        if (json_object_set_new(out->names, name, json_integer((json_int_t)out->n_layers)) != 0) {
            return weir_document_nomem(doc);
        }
        out->n_layers++;
    }
    return WEIR_OK;
}

weir_status_t weir_policy_names_parse(const char *text, size_t len, const char *name,
                                      weir_arena_t *arena, weir_policy_names_t *out,
                                      weir_error_t *err)
{
    static const char *const known[] = {"$schema", "version", "base", "policies", NULL};
    weir_document_t doc;
    json_t *base;
    weir_status_t rc;

    *out = (weir_policy_names_t){.names = json_object()};
    rc = weir_document_open(&doc, text, len, name, arena, err);
    if (rc == WEIR_OK && out->names == NULL) {
        rc = weir_document_nomem(&doc);
    }
    if (rc == WEIR_OK && (rc = weir_document_members(&doc, doc.root, "", known)) == WEIR_OK &&
        (rc = weir_document_version(&doc)) == WEIR_OK) {
        base = json_object_get(doc.root, "base");
        if (base != NULL) {
            rc = weir_policy_layer_parse(&doc, base, "base", WEIR_LEVEL_BASE, &out->base);
        }
        if (rc == WEIR_OK) {
            rc = load_named(&doc, out);
        }
    }
    weir_document_close(&doc);
    if (rc != WEIR_OK) {
        weir_policy_names_close(out);
    }
    return rc;
}

void weir_policy_names_close(weir_policy_names_t *names)
{
    json_decref(names->names);
    *names = (weir_policy_names_t){0};
}
