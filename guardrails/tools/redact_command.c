/* weir-guard redact: the text with a name in the place of each entity, whole or as a stream. */
#include "guardrails/tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

weir_status_t weir_guard_write_redacted(weir_placeholders_t *map, weir_str_t text, size_t from,
                                        size_t to, const weir_guard_result_t *result, size_t offset,
                                        weir_buf_t *out, weir_error_t *err)
{
    size_t at = from;
    for (size_t i = 0; i < result->count; i++) {
        const weir_guard_finding_t *f = &result->findings[i];
        size_t start = f->start + offset;
        size_t end = f->end + offset;
        if (start < at || end > to) {
            continue;
        }
        weir_str_t name;
        weir_status_t status =
            weir_placeholders_name(map, f->type, weir_str(text.data + start, end - start), &name);
        if (status != WEIR_OK) {
            return weir_error(err, status, "an entity of type %s cannot be given a name", f->type);
        }
        weir_buf_append(out, text.data + at, start - at);
        weir_buf_append_str(out, name);
        at = end;
    }
    weir_buf_append(out, text.data + at, to - at);
    return WEIR_OK;
}

/* A text is fed in pieces of at most so many bytes: few enough that a scan never finds more than it
 * can list. */
#define PIECE 65536

/* Feeds n bytes at a time and writes what each feed decides; *truncated: something was not seen. */
static weir_status_t redact_stream(weir_guard_session_t *s, weir_placeholders_t *map,
                                   weir_str_t text, size_t n, weir_buf_t *out, bool *truncated,
                                   weir_error_t *err)
{
    size_t released = 0;
    for (size_t fed = 0;;) {
        fed = text.len - fed < n ? text.len : fed + n;
        size_t base = released > WEIR_GUARD_LEFT_CODED ? released - WEIR_GUARD_LEFT_CODED : 0;
        while (base > 0 && ((unsigned char)text.data[base] & 0xc0) == 0x80) {
            base--;
        }
        weir_guard_scan_options_t options = {.from = released - base, .more = fed < text.len};
        weir_guard_result_t result;
        weir_status_t status = weir_guard_scan(s->rules, s->scratch, text.data + base, fed - base,
                                               &options, &result, err);
        size_t hold = base + result.hold;
        *truncated |= status == WEIR_OK && result.truncated;
        if (status == WEIR_OK && hold > released) {
            status = weir_guard_write_redacted(map, text, released, hold, &result, base, out, err);
            released = hold;
        }
        if (status != WEIR_OK || fed == text.len) {
            return status;
        }
    }
}

typedef struct {
    weir_guard_session_t *session;
    size_t stream;
    bool truncated; /* of the last text */
    weir_arena_t arena;
} redact_t;

static weir_status_t redact_text(redact_t *r, weir_str_t text, weir_buf_t *out, weir_error_t *err)
{
    weir_placeholders_t *map = NULL;
    weir_status_t status = weir_placeholders_open(&r->arena, NULL, &map);
    if (status == WEIR_OK) {
        status = weir_placeholders_avoid(map, text.data, text.len);
    }
    if (status != WEIR_OK) {
        return weir_error(err, status, "no memory for the names of entities");
    }
    r->truncated = false;
    return redact_stream(r->session, map, text, r->stream == 0 ? PIECE : r->stream, out,
                         &r->truncated, err);
}

static weir_status_t redact_line(void *ctx, const weir_str_t text, weir_buf_t *members,
                                 weir_str_t *new_text, weir_error_t *err)
{
    redact_t *r = ctx;
    weir_buf_t out;
    weir_arena_reset(&r->arena);
    weir_buf_init(&out, &r->arena);
    weir_status_t status = redact_text(r, text, &out, err);
    if (status == WEIR_OK && out.failed) {
        status = weir_error(err, WEIR_ERR_NOMEM, "no memory");
    }
    weir_buf_append_z(members, r->truncated ? ", \"truncated\": true" : "");
    *new_text = weir_str(out.len == 0 ? "" : out.data, out.len);
    return status;
}

static int complain_truncated(const char *name)
{
    return weir_guard_complain("%s: holds more than could be decoded; entities in it may stand "
                               "in the output",
                               name);
}

/* As it comes. */
static int redact_input(redact_t *r, const char *name)
{
    weir_placeholders_t *map = NULL;
    weir_error_t err;
    bool truncated = false;
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return weir_guard_complain("%s: %s", name, strerror(errno));
    }
    weir_arena_reset(&r->arena);
    weir_status_t status = weir_placeholders_open(&r->arena, NULL, &map);
    if (status != WEIR_OK) {
        status = weir_error(&err, status, "no memory for the names of entities");
    } else {
        status = weir_guard_redact_stream(r->session, map, fd, r->stream, &truncated, &err);
    }
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    if (status != WEIR_OK) {
        return weir_guard_complain("%s: %s", name, err.message);
    }
    return truncated ? complain_truncated(name) : 0;
}

static int redact_file(redact_t *r, const char *name)
{
    weir_arena_t arena;
    weir_str_t text;
    weir_buf_t out;
    weir_error_t err;
    if (r->stream > 0) {
        return redact_input(r, name);
    }
    weir_arena_init(&arena, 1 << 20, 0);
    weir_arena_reset(&r->arena);
    weir_buf_init(&out, &r->arena);
    int rc = weir_guard_read_file(name, &arena, &text);
    if (rc == 0) {
        if (redact_text(r, text, &out, &err) != WEIR_OK) {
            rc = weir_guard_complain("%s: %s", name, err.message);
        } else if (out.failed) {
            rc = weir_guard_complain("%s: no memory", name);
        } else {
            fwrite(out.data, 1, out.len, stdout);
        }
        if (rc == 0 && r->truncated) {
            rc = complain_truncated(name);
        }
    }
    weir_arena_free(&arena);
    return rc;
}

int weir_guard_redact_command(int argc, char **argv)
{
    weir_guard_tool_options_t options;
    weir_guard_session_t session;
    int rc = weir_guard_tool_options(argc, argv, &options);
    if (rc != 0) {
        return rc;
    }
    options.scores = false;
    rc = weir_guard_session_open(&options, &session);
    if (rc == 0) {
        redact_t r = {.session = &session, .stream = options.stream};
        weir_arena_init(&r.arena, 1 << 20, 0);
        if (options.jsonl) {
            rc = weir_guard_each_line(&options, redact_line, &r);
        } else if (options.file_count == 0) {
            rc = redact_file(&r, "-");
        }
        for (int i = 0; !options.jsonl && i < options.file_count; i++) {
            rc |= redact_file(&r, options.files[i]);
        }
        weir_arena_free(&r.arena);
        weir_guard_session_close(&session);
    }
    weir_guard_tool_options_free(&options);
    return rc;
}
