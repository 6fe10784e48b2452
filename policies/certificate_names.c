#include "policies/certificate_names.h"

#include <strings.h>

#include <openssl/x509v3.h>

static bool usable(const unsigned char *data, int len)
{
    if (len <= 0 || len > WEIR_CERTIFICATE_NAME_MAX) {
        return false;
    }
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] > '~') {
            return false;
        }
    }
    return true;
}

static weir_status_t read_names(const GENERAL_NAMES *all, weir_arena_t *arena,
                                weir_certificate_t *out)
{
    int n = sk_GENERAL_NAME_num(all);
    weir_certificate_name_t *names;

    if (n <= 0 || n > WEIR_CERTIFICATE_NAMES) {
        return WEIR_OK;
    }
    names = weir_arena_calloc(arena, (size_t)n, sizeof(*names));
    if (names == NULL) {
        return WEIR_ERR_NOMEM;
    }
    out->names = names;
    for (int i = 0; i < n; i++) {
        int type = 0;
        const ASN1_STRING *text = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);
        weir_certificate_kind_t kind = type == GEN_URI   ? WEIR_CERTIFICATE_URI
                                       : type == GEN_DNS ? WEIR_CERTIFICATE_DNS
                                                         : WEIR_CERTIFICATE_EMAIL;
        if (type != GEN_URI && type != GEN_DNS && type != GEN_EMAIL) {
            continue;
        }
        const unsigned char *data = ASN1_STRING_get0_data(text);
        int len = ASN1_STRING_length(text);
        if (!usable(data, len)) {
            continue;
        }
        char *copy = weir_arena_strndup(arena, (const char *)data, (size_t)len);
        if (copy == NULL) {
            return WEIR_ERR_NOMEM;
        }
        names[out->n_names++] = (weir_certificate_name_t){kind, weir_str(copy, (size_t)len)};
    }
    return WEIR_OK;
}

weir_status_t weir_certificate_names(const struct x509_st *x509, weir_arena_t *arena,
                                     weir_certificate_t *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);

    out->names = NULL;
    out->n_names = 0;
    if (all == NULL) {
        return WEIR_OK;
    }
    weir_status_t rc = read_names(all, arena, out);
    GENERAL_NAMES_free(all);
    return rc;
}

const char *weir_certificate_kind_name(weir_certificate_kind_t kind)
{
    static const char *const names[] = {"uri", "dns", "email"};
    return kind < WEIR_CERTIFICATE_KINDS ? names[kind] : "";
}

bool weir_certificate_has(const weir_certificate_t *c, weir_certificate_kind_t kind,
                          weir_str_t value)
{
    for (size_t i = 0; i < c->n_names; i++) {
        const weir_certificate_name_t *name = &c->names[i];
        if (name->kind == kind && name->value.len == value.len && value.len > 0 &&
            (kind == WEIR_CERTIFICATE_DNS
                 ? strncasecmp(name->value.data, value.data, value.len) == 0
                 : memcmp(name->value.data, value.data, value.len) == 0)) {
            return true;
        }
    }
    return false;
}

weir_str_t weir_certificate_only(const weir_certificate_t *c, weir_certificate_kind_t kind)
{
    weir_str_t found = weir_str(NULL, 0);

    for (size_t i = 0; i < c->n_names; i++) {
        if (c->names[i].kind == kind) {
            if (found.len > 0) {
                return weir_str(NULL, 0);
            }
            found = c->names[i].value;
        }
    }
    return found;
}
