#include "policies/journal_line.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "policies/document.h"
#include "policies/timestamp.h"

#define SUM_MEMBER     ",\"sum\":\""
#define SUM_MEMBER_LEN (sizeof(SUM_MEMBER) - 1)
#define TAIL_LEN       (SUM_MEMBER_LEN + WEIR_JOURNAL_SUM_LEN + 2)

static const char *const op_names[WEIR_CHANGE_OPS + 1] = {
    "key_created", "key_rotated", "key_disabled", "key_enabled", "key_deleted",
    "key_revoked", NULL};

const char *weir_change_op_name(weir_change_op_t op)
{
    return (unsigned)op < WEIR_CHANGE_OPS ? op_names[op] : "unknown";
}

static bool chain(weir_journal_sum_t *sum, weir_str_t body)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, sum->text, strlen(sum->text)) == 1 &&
                EVP_DigestUpdate(ctx, body.data, body.len) == 1 &&
                EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; good && i < WEIR_JOURNAL_SUM_LEN / 2; i++) {
        sum->text[2 * i] = digits[digest[i] >> 4];
        sum->text[2 * i + 1] = digits[digest[i] & 15];
    }
    sum->text[WEIR_JOURNAL_SUM_LEN] = '\0';
    return good;
}

/* Closes the line that begins at start. */
static weir_status_t finish(weir_buf_t *out, size_t start, weir_journal_sum_t *sum,
                            weir_error_t *err)
{
    if (out->failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    if (out->len - start > WEIR_JOURNAL_MAX_LINE - 64) {
        return weir_error(err, WEIR_ERR_INVALID, "the change is longer than a line may be");
    }
    if (!chain(sum, weir_str(out->data + start, out->len - start))) {
        return weir_error(err, WEIR_ERR_INTERNAL, "SHA-256 failed");
    }
    weir_buf_append_z(out, SUM_MEMBER);
    weir_buf_append_z(out, sum->text);
    weir_buf_append_z(out, "\"}\n");
    return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
}

weir_status_t weir_journal_write_header(weir_buf_t *out, uint64_t seq, weir_journal_sum_t *sum,
                                        weir_error_t *err)
{
    size_t start = out->len;

    sum->text[0] = '\0';
    weir_buf_printf(out, "{\"weir_journal\":1,\"seq\":%" PRIu64, seq);
    return finish(out, start, sum, err);
}

static void write_hex(weir_buf_t *out, const char *name, const uint8_t *data, size_t n)
{
    weir_buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < n; i++) {
        weir_buf_printf(out, "%02x", data[i]);
    }
    weir_buf_append_char(out, '"');
}

static void write_text(weir_buf_t *out, const char *name, weir_str_t text)
{
    if (text.len > 0) {
        weir_buf_printf(out, ",\"%s\":", name);
        weir_json_write_string(out, text);
    }
}

static void write_time(weir_buf_t *out, const char *name, int64_t seconds)
{
    char text[WEIR_TIMESTAMP_MAX];

    if (seconds != 0 && weir_timestamp_format(seconds * 1000, text) > 0) {
        weir_buf_printf(out, ",\"%s\":\"%s\"", name, text);
    }
}

/* In one line and normal form, whatever the caller's blanks were. */
static weir_status_t write_policy(weir_buf_t *out, weir_str_t policy, weir_error_t *err)
{
    json_t *object;
    char *text;

    if (policy.len == 0) {
        return WEIR_OK;
    }
    object = json_loadb(policy.data, policy.len, JSON_REJECT_DUPLICATES, NULL);
    text = json_is_object(object) ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(object);
    if (text == NULL) {
        return weir_error_at(err, WEIR_ERR_INVALID, "policy", "invalid_change",
                             "policy: expected a JSON object");
    }
    weir_buf_append_z(out, ",\"policy\":");
    weir_buf_append_z(out, text);
    free(text);
    return WEIR_OK;
}

static bool utf8_ok(weir_str_t text)
{
    uint32_t cp;

    for (size_t i = 0; i < text.len;) {
        int n = weir_utf8_decode(text.data + i, text.len - i, &cp);
        if (n <= 0) {
            return false;
        }
        i += (size_t)n;
    }
    return true;
}

/* A time that can be written and read back as it is; seconds are formatted in milliseconds. */
static bool time_ok(int64_t seconds)
{
    char text[WEIR_TIMESTAMP_MAX];
    return seconds > -INT64_C(1000000000000) && seconds < INT64_C(1000000000000) &&
           weir_timestamp_format(seconds * 1000, text) > 0;
}

static weir_status_t check_change(const weir_change_t *c, weir_error_t *err)
{
    const struct {
        const char *name;
        weir_str_t text;
        size_t max;
    } texts[] = {{"by", c->by, 128},
                 {"tenant", c->tenant, 64},
                 {"team", c->team, 64},
                 {"user", c->user, 128},
                 {"label", c->label, 256}};
    char ts[WEIR_TIMESTAMP_MAX];

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].text.len > texts[i].max ||
            (texts[i].text.len > 0 &&
             memchr(texts[i].text.data, '\0', texts[i].text.len) != NULL) ||
            !utf8_ok(texts[i].text)) {
            return weir_error_at(err, WEIR_ERR_INVALID, texts[i].name, "invalid_change",
                                 "%s: expected UTF-8 of at most %zu bytes", texts[i].name,
                                 texts[i].max);
        }
    }
    if ((unsigned)c->op >= WEIR_CHANGE_OPS || !time_ok(c->expires) ||
        !time_ok(c->previous_expires) || weir_timestamp_format(c->ts_ms, ts) == 0) {
        return weir_error_at(err, WEIR_ERR_INVALID, "", "invalid_change",
                             "expected a known operation and times of the years 0 to 9999");
    }
    if (strlen(c->key_id) != WEIR_KEY_ID_LEN ||
        strspn(c->key_id, "0123456789abcdefghijklmnopqrstuvwxyz") != WEIR_KEY_ID_LEN) {
        return weir_error_at(err, WEIR_ERR_INVALID, "key", "invalid_change",
                             "key: expected %d characters of 0-9 and a-z", WEIR_KEY_ID_LEN);
    }
    return WEIR_OK;
}

weir_status_t weir_journal_write_line(weir_buf_t *out, const weir_change_t *change,
                                      weir_journal_sum_t *sum, weir_error_t *err)
{
    size_t start = out->len;
    char ts[WEIR_TIMESTAMP_MAX];
    weir_status_t rc = check_change(change, err);

    if (rc != WEIR_OK) {
        return rc;
    }
    weir_timestamp_format(change->ts_ms, ts);
    weir_buf_printf(out, "{\"seq\":%" PRIu64 ",\"ts\":\"%s\",\"op\":\"%s\",\"key\":\"%s\"",
                    change->seq, ts, op_names[change->op], change->key_id);
    write_text(out, "by", change->by);
    if (change->op == WEIR_CHANGE_KEY_CREATED || change->op == WEIR_CHANGE_KEY_ROTATED) {
        write_hex(out, "salt", change->salt, WEIR_KEY_SALT_LEN);
        write_hex(out, "hash", change->hash, WEIR_KEY_HASH_LEN);
    }
    if (change->op == WEIR_CHANGE_KEY_ROTATED && change->has_previous) {
        write_hex(out, "previous_hash", change->previous_hash, WEIR_KEY_HASH_LEN);
        write_time(out, "previous_expires", change->previous_expires);
    }
    if (change->op == WEIR_CHANGE_KEY_CREATED) {
        write_text(out, "tenant", change->tenant);
        write_text(out, "team", change->team);
        write_text(out, "user", change->user);
        write_text(out, "label", change->label);
        write_time(out, "expires", change->expires);
        rc = write_policy(out, change->policy, err);
    }
    return rc == WEIR_OK ? finish(out, start, sum, err) : rc;
}

bool weir_journal_check_sum(weir_str_t line, weir_journal_sum_t *sum)
{
    weir_journal_sum_t next = *sum;
    weir_str_t body;

    if (line.len <= TAIL_LEN) {
        return false;
    }
    body = weir_str(line.data, line.len - TAIL_LEN);
    if (memcmp(body.data + body.len, SUM_MEMBER, SUM_MEMBER_LEN) != 0 ||
        memcmp(line.data + line.len - 2, "\"}", 2) != 0 || !chain(&next, body) ||
        memcmp(body.data + body.len + SUM_MEMBER_LEN, next.text, WEIR_JOURNAL_SUM_LEN) != 0) {
        return false;
    }
    *sum = next;
    return true;
}

bool weir_journal_read_header(weir_str_t line, uint64_t *seq)
{
    json_t *root = json_loadb(line.data, line.len, 0, NULL);
    json_int_t value = json_integer_value(json_object_get(root, "seq"));
    bool good = json_integer_value(json_object_get(root, "weir_journal")) == 1 && value >= 0;

    json_decref(root);
    *seq = (uint64_t)value;
    return good;
}

/* The members that all changes have. */
static weir_status_t read_head(const weir_document_t *doc, weir_change_t *out)
{
    json_t *root = doc->root;
    weir_str_t text;
    int64_t seq;
    int op;
    weir_status_t rc;

    if ((rc = weir_document_int(doc, root, "", "seq", 1, INT64_MAX, 0, &seq)) != WEIR_OK ||
        (rc = weir_document_word(doc, root, "", "op", op_names, &op)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "ts", 64, &text)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "by", 128, &out->by)) != WEIR_OK) {
        return rc;
    }
    out->seq = (uint64_t)seq;
    out->op = (weir_change_op_t)op;
    if (out->seq == 0 || !weir_timestamp_parse(text, &out->ts_ms) ||
        json_object_get(root, "op") == NULL) {
        return weir_document_fail(doc, "", "expected \"seq\", \"op\" and \"ts\"");
    }
    rc = weir_document_text(doc, root, "", "key", 64, &text);
    if (rc == WEIR_OK) {
        snprintf(out->key_id, sizeof(out->key_id), "%s", text.data);
    }
    return rc;
}

static weir_status_t read_secrets(const weir_document_t *doc, weir_change_t *out)
{
    json_t *root = doc->root;
    weir_status_t rc = WEIR_OK;

    if ((out->op == WEIR_CHANGE_KEY_CREATED || out->op == WEIR_CHANGE_KEY_ROTATED) &&
        ((rc = weir_document_hex(doc, root, "", "salt", out->salt, WEIR_KEY_SALT_LEN)) != WEIR_OK ||
         (rc = weir_document_hex(doc, root, "", "hash", out->hash, WEIR_KEY_HASH_LEN)) !=
             WEIR_OK)) {
        return rc;
    }
    out->has_previous = json_object_get(root, "previous_hash") != NULL;
    if (!out->has_previous) {
        return WEIR_OK;
    }
    rc = weir_document_hex(doc, root, "", "previous_hash", out->previous_hash, WEIR_KEY_HASH_LEN);
    return rc == WEIR_OK
               ? weir_document_time(doc, root, "", "previous_expires", &out->previous_expires)
               : rc;
}

static weir_status_t read_members(const weir_document_t *doc, weir_change_t *out)
{
    static const char *const known[] = {"seq",
                                        "ts",
                                        "op",
                                        "key",
                                        "by",
                                        "salt",
                                        "hash",
                                        "previous_hash",
                                        "previous_expires",
                                        "tenant",
                                        "team",
                                        "user",
                                        "label",
                                        "expires",
                                        "policy",
                                        "sum",
                                        NULL};
    json_t *root = doc->root;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, root, "", known)) != WEIR_OK ||
        (rc = read_head(doc, out)) != WEIR_OK || (rc = read_secrets(doc, out)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "tenant", 64, &out->tenant)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "team", 64, &out->team)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "user", 128, &out->user)) != WEIR_OK ||
        (rc = weir_document_text(doc, root, "", "label", 256, &out->label)) != WEIR_OK) {
        return rc;
    }
    return weir_document_time(doc, root, "", "expires", &out->expires);
}

weir_status_t weir_journal_read_line(weir_str_t line, weir_arena_t *arena, weir_change_t *out,
                                     weir_error_t *err)
{
    weir_document_t doc;
    weir_status_t rc;
    json_t *policy;

    memset(out, 0, sizeof(*out));
    rc = weir_document_open(&doc, line.data, line.len, "line", arena, err);
    if (rc == WEIR_OK) {
        rc = read_members(&doc, out);
    }
    policy = json_object_get(doc.root, "policy");
    if (rc == WEIR_OK && policy != NULL) {
        char *text = json_dumps(policy, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        out->policy.len = text == NULL ? 0 : strlen(text);
        out->policy.data = text == NULL ? NULL : weir_arena_strndup(arena, text, out->policy.len);
        rc = out->policy.data == NULL ? weir_document_nomem(&doc) : WEIR_OK;
        free(text);
    }
    if (rc == WEIR_OK) {
        rc = check_change(out, err);
    }
    weir_document_close(&doc);
    return rc;
}
