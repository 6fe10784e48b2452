/*
 * Is a JSON answer an error, by its first bytes? Some servers answer 200 with an error inside. To
 * be asked before the answer's header leaves, so that the status can still tell what clients look
 * for.
 */
#ifndef WEIR_FILTERS_ERROR_DOCUMENT_H
#define WEIR_FILTERS_ERROR_DOCUMENT_H

#include <stddef.h>

/* With so many bytes there is always a verdict. */
#define WEIR_ERROR_DOCUMENT_BYTES 64

typedef enum {
    WEIR_ERROR_DOCUMENT_NO,
    WEIR_ERROR_DOCUMENT_YES,
    WEIR_ERROR_DOCUMENT_MORE /* more bytes are needed; at the document's end: NO */
} weir_error_document_t;

/*
 * The verdict on a body that begins with these bytes: YES where the first member of the object is
 * "error" with an object or a text, or says that the "type" or "object" is "error". An error that
 * stands behind other members is not found: an answer may have one there (a response that failed).
 * Longer prefixes of one body never change a verdict.
 */
weir_error_document_t weir_error_document(const char *data, size_t len);

#endif
