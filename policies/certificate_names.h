/*
 * The subject alternative names of a client certificate (RFC 5280, section 4.2.1.6) that can stand
 * for somebody: URIs (SPIFFE ids, for one), host names and e-mail addresses.
 */
#ifndef WEIR_POLICIES_CERTIFICATE_NAMES_H
#define WEIR_POLICIES_CERTIFICATE_NAMES_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_CERTIFICATE_NAMES    64  /* most that are looked at */
#define WEIR_CERTIFICATE_NAME_MAX 512 /* bytes; longer ones stand for nobody */

typedef enum {
    WEIR_CERTIFICATE_URI,
    WEIR_CERTIFICATE_DNS,
    WEIR_CERTIFICATE_EMAIL,
    WEIR_CERTIFICATE_KINDS
} weir_certificate_kind_t;

typedef struct {
    weir_certificate_kind_t kind;
    weir_str_t value;
} weir_certificate_name_t;

/* A verified certificate, as far as it matters who it stands for. */
typedef struct {
    weir_str_t subject; /* RFC 4514 text; may be empty */
    const weir_certificate_name_t *names;
    size_t n_names;
} weir_certificate_t;

struct x509_st; /* OpenSSL's X509 */

/*
 * The certificate's names, in arena. Left out are names that are empty, too long or not printable
 * ASCII. A certificate with too many names or an extension that cannot be read has none. Errors:
 * NOMEM.
 */
weir_status_t weir_certificate_names(const struct x509_st *x509, weir_arena_t *arena,
                                     weir_certificate_t *out);

/* "uri", "dns", "email". */
const char *weir_certificate_kind_name(weir_certificate_kind_t kind);

/* Whether the certificate has that name. Host names are compared without regard to case. */
bool weir_certificate_has(const weir_certificate_t *certificate, weir_certificate_kind_t kind,
                          weir_str_t value);

/* Its only name of that kind; empty when it has none or several. */
weir_str_t weir_certificate_only(const weir_certificate_t *certificate,
                                 weir_certificate_kind_t kind);

#endif
