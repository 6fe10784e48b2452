/*
 * Distinguished names as text (RFC 4514), as NGINX gives a certificate's subject. Private to this
 * folder.
 */
#ifndef WEIR_POLICIES_DISTINGUISHED_NAME_H
#define WEIR_POLICIES_DISTINGUISHED_NAME_H

#include "engine/base/arena.h"

#define WEIR_DN_VALUE_MAX 256

/*
 * The value of the attribute of that type (case does not matter), unescaped into value (NUL behind
 * it, *len without). False when it is absent, occurs twice, is longer than the room, holds a NUL,
 * or when the name is malformed: a name that two readers may take apart differently names nobody.
 */
bool weir_dn_attribute(weir_str_t name, weir_str_t type, char value[WEIR_DN_VALUE_MAX + 1],
                       size_t *len);

#endif
