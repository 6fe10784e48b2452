/* OpenAI's error envelope: {"error":{"message","type","param","code"}}. */
#ifndef WEIR_API_ERRORS_H
#define WEIR_API_ERRORS_H

#include "engine/base/json.h"

/* The HTTP status for an error of a request: 400, 404, 429, 500 or 503. */
int weir_api_error_status(const weir_error_t *err);

/* The envelope's "type" that goes with an HTTP status. */
const char *weir_api_error_type(int status);

/* Appends the envelope for err; param and code are null when err's field and code are empty. */
void weir_api_write_error(weir_buf_t *out, const weir_error_t *err);

/* The same from parts; field and code may be NULL. */
void weir_api_write_error_text(weir_buf_t *out, int status, const char *message, const char *field,
                               const char *code);

#endif
