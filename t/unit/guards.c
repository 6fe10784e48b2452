#include "policies/guards.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/support/tap.h"

static weir_status_t load(weir_arena_t *arena, const char *text, weir_guards_t **out,
                          weir_error_t *err)
{
    memset(err, 0, sizeof *err);
    *out = NULL;
    return weir_guards_parse(text, strlen(text), "guards.json", NULL, arena, out, err);
}

static void refused(weir_arena_t *arena, const char *policy, const char *field, const char *words,
                    const char *name)
{
    char text[4096];
    weir_guards_t *guards;
    weir_error_t err;
    snprintf(text, sizeof text, "{\"version\":1,\"policies\":{\"p\":{%s}}}", policy);
    weir_status_t rc = load(arena, text, &guards, &err);
    bool good = rc == WEIR_ERR_INVALID && strstr(err.message, words) != NULL &&
                strstr(err.message, field) != NULL && strstr(err.message, "guards.json:1") != NULL;
    if (!ok(good, "%s", name))
        diag("%d %s", rc, err.message);
    weir_guards_free(guards);
}

static weir_guard_action_t act(const weir_guard_policy_t *p, weir_guard_direction_t d,
                               const char *type, const char *value, float score)
{
    weir_str_t replacement;
    weir_guard_finding_t f = {
        .type = type, .rule = "r", .end = (uint32_t)strlen(value), .score = score};
    return weir_guard_policy_action(p, d, &f, weir_str(value, strlen(value)), &replacement);
}

static const char document[] =
    "{\"version\":1,\"default\":\"base\",\"tenants\":{\"acme\":\"strict\"},"
    "\"teams\":{\"acme/red\":\"loose\"},\"keys\":{\"k1\":\"base\"},\"policies\":{"
    "\"base\":{\"locked\":[\"secrets\",\"entities.US_SSN\"],"
    " \"entities\":{\"EMAIL_ADDRESS\":{\"input\":\"placeholder\",\"output\":\"redact\"},"
    "  \"US_SSN\":\"block\",\"PHONE_NUMBER\":{\"action\":\"mask\",\"min_score\":0.7}},"
    " \"secrets\":\"block\",\"allow\":{\"values\":[\"a@example.org\"],"
    "  \"patterns\":[\"[a-z]+@public\\\\.example\"],"
    "  \"hashes\":[\"5a8c7b1a5f4b6f8ed8f3c3fb1a4d3f0b2d7f2d3b9a1c5e6f708192a3b4c5d6e7\"]},"
    " \"deny\":[{\"id\":\"falcon\",\"words\":[\"Project Falcon\"]}]},"
    "\"strict\":{\"extends\":\"base\",\"classifiers\":{\"toxicity\":{\"block\":0.9,\"review\":0.5}}"
    ","
    " \"deny\":[{\"id\":\"heron\",\"expression\":\"blue.?heron\",\"action\":\"flag\"}],"
    " \"topics\":[{\"id\":\"money\",\"words\":[\"loan\",\"credit\"],\"least\":3}],"
    " \"entities\":{\"*\":\"redact\",\"EMAIL_ADDRESS\":{\"action\":\"replace\","
    "  \"replacement\":\"[mail]\"}}},"
    "\"loose\":{\"shadow\":true,\"block\":{\"status\":403,"
    " \"message\":\"No.\",\"stream\":\"error\"}}}}";

static void test_policies(weir_arena_t *arena)
{
    weir_guards_t *guards;
    weir_error_t err;
    if (!ok(load(arena, document, &guards, &err) == WEIR_OK, "a document loads")) {
        diag("%s", err.message);
        return;
    }
    weir_str_t none = weir_str("", 0);
    const weir_guard_policy_t *base = weir_guards_find(guards, WEIR_STR("other"), none, none);
    const weir_guard_policy_t *strict = weir_guards_find(guards, WEIR_STR("acme"), none, none);
    const weir_guard_policy_t *loose =
        weir_guards_find(guards, WEIR_STR("acme"), WEIR_STR("red"), none);
    const weir_guard_policy_t *key =
        weir_guards_find(guards, WEIR_STR("acme"), WEIR_STR("red"), WEIR_STR("k1"));
    ok(base != NULL && strict != NULL && loose != NULL, "everybody has a policy");
    if (base == NULL || strict == NULL || loose == NULL) {
        weir_guards_free(guards);
        return;
    }
    ok(weir_str_is(base->name, "base"), "who has none of his own has the default");
    ok(weir_str_is(strict->name, "strict"), "a tenant its own");
    ok(weir_str_is(loose->name, "loose"), "a team its own");
    ok(key == base, "a key its own");
    ok(strlen(base->hash) == 64 && strcmp(base->hash, strict->hash) != 0, "policies have hashes");

    is_int(act(base, WEIR_GUARD_INPUT, "EMAIL_ADDRESS", "x@y.org", 1), WEIR_GUARD_PLACEHOLDER,
           "directions differ: input");
    is_int(act(base, WEIR_GUARD_OUTPUT, "EMAIL_ADDRESS", "x@y.org", 1), WEIR_GUARD_REDACT,
           "directions differ: output");
    is_int(act(base, WEIR_GUARD_INPUT, "PHONE_NUMBER", "1", 0.6F), WEIR_GUARD_ALLOW,
           "a score below the least");
    is_int(act(base, WEIR_GUARD_INPUT, "PHONE_NUMBER", "1", 0.8F), WEIR_GUARD_MASK, "and above");
    is_int(act(base, WEIR_GUARD_INPUT, "IBAN_CODE", "x", 1), WEIR_GUARD_ALLOW,
           "a type that is not named");
    is_int(act(strict, WEIR_GUARD_INPUT, "IBAN_CODE", "x", 1), WEIR_GUARD_REDACT, "and under *");
    is_int(act(strict, WEIR_GUARD_INPUT, "EMAIL_ADDRESS", "x@y.org", 1), WEIR_GUARD_REPLACE,
           "a child's rule before its parent's");
    is_int(act(strict, WEIR_GUARD_INPUT, "US_SSN", "x", 1), WEIR_GUARD_BLOCK, "a parent's rule");
    is_int(act(strict, WEIR_GUARD_INPUT, "SECRET", "x", 1), WEIR_GUARD_BLOCK, "secrets");
    is_int(act(strict, WEIR_GUARD_INPUT, "DENY_FALCON", "x", 1), WEIR_GUARD_BLOCK,
           "a parent's deny entry");
    is_int(act(strict, WEIR_GUARD_INPUT, "DENY_HERON", "x", 1), WEIR_GUARD_FLAG, "and its own");
    is_int(act(base, WEIR_GUARD_INPUT, "EMAIL_ADDRESS", "a@example.org", 1), WEIR_GUARD_ALLOW,
           "a value that is allowed");
    is_int(act(base, WEIR_GUARD_INPUT, "EMAIL_ADDRESS", "me@public.example", 1), WEIR_GUARD_ALLOW,
           "a pattern that is allowed");
    is_int(act(base, WEIR_GUARD_INPUT, "EMAIL_ADDRESS", "me@public.example.org", 1),
           WEIR_GUARD_PLACEHOLDER, "it must match the whole value");

    unsigned least = 0;
    weir_guard_finding_t f = {.type = "TOPIC_MONEY"};
    is_int(weir_guard_policy_topic(strict, &f, &least), 0, "a topic");
    is_int(least, 3, "and its least count");
    f.type = "US_SSN";
    is_int(weir_guard_policy_topic(strict, &f, &least), -1, "no topic");

    ok(strict->head[WEIR_HEAD_TOXICITY].on && strict->head[WEIR_HEAD_TOXICITY].block > 0.89F &&
           strict->classifies[WEIR_GUARD_INPUT] && !strict->classifies[WEIR_GUARD_OUTPUT],
       "a classifier, on requests unless more is said");
    ok(loose->shadow && loose->block_status == 403 && loose->block_in_band &&
           weir_str_is(loose->block_message, "No."),
       "shadow mode and what a block says");
    ok(base->rules[WEIR_GUARD_INPUT] != NULL && base->rules[WEIR_GUARD_OUTPUT] != NULL,
       "rules are compiled");
    weir_guards_free(guards);

    is_int(load(arena, "{\"version\":1,\"policies\":{\"p\":{}}}", &guards, &err), WEIR_OK,
           "an empty policy");
    ok(weir_guards_find(guards, WEIR_STR("x"), none, none) == NULL,
       "without a default there is none");
    ok(weir_guards_at(guards, 0)->rules[WEIR_GUARD_INPUT] == NULL, "it looks for nothing");
    weir_guards_free(guards);
}

static void test_finding(weir_arena_t *arena)
{
    weir_guards_t *guards;
    weir_error_t err;
    weir_guard_result_t found;
    if (load(arena, document, &guards, &err) != WEIR_OK)
        return;
    const weir_guard_policy_t *p =
        weir_guards_find(guards, WEIR_STR("acme"), weir_str("", 0), weir_str("", 0));
    weir_guard_scratch_t *scratch = weir_guard_scratch_create();
    static const char text[] = "About project falcon and the Blue Heron: mail jane@corp.example";
    weir_guard_scan(p->rules[WEIR_GUARD_INPUT], scratch, text, strlen(text), NULL, &found, NULL);
    unsigned seen = 0;
    for (size_t i = 0; i < found.count; i++) {
        seen |= strcmp(found.findings[i].type, "DENY_FALCON") == 0 ? 1u : 0;
        seen |= strcmp(found.findings[i].type, "DENY_HERON") == 0 ? 2u : 0;
        seen |= strcmp(found.findings[i].type, "EMAIL_ADDRESS") == 0 ? 4u : 0;
    }
    is_int(seen, 7, "words, expressions and built-in types are found together");
    weir_guard_scratch_free(scratch);
    weir_guards_free(guards);
}

/* Of what is found in the text by the policy the heaviest action, and its type. */
static void judged(weir_arena_t *arena, const char *policy, const char *words, const char *want,
                   const char *name)
{
    char text[4096];
    char seen[128] = "";
    weir_guards_t *guards;
    weir_error_t err;
    weir_guard_result_t found = {0};
    weir_guard_scratch_t *scratch = weir_guard_scratch_create();
    snprintf(text, sizeof text, "{\"version\":1,\"policies\":{%s}}", policy);
    if (load(arena, text, &guards, &err) == WEIR_OK) {
        const weir_guard_policy_t *p = weir_guards_at(guards, weir_guards_count(guards) - 1);
        weir_guard_action_t most = WEIR_GUARD_ALLOW;
        if (p->rules[WEIR_GUARD_INPUT] != NULL)
            weir_guard_scan(p->rules[WEIR_GUARD_INPUT], scratch, words, strlen(words), NULL, &found,
                            NULL);
        for (size_t i = 0; i < found.count; i++) {
            const weir_guard_finding_t *f = &found.findings[i];
            weir_str_t none;
            weir_guard_action_t action = weir_guard_policy_action(
                p, WEIR_GUARD_INPUT, f, weir_str(words + f->start, f->end - f->start), &none);
            if (action > most)
                snprintf(seen, sizeof seen, "%s=%s", f->type, weir_guard_action_name(action));
            most = action > most ? action : most;
        }
        weir_guards_free(guards);
    } else {
        snprintf(seen, sizeof seen, "%.100s", err.message);
    }
    is_str(seen, strlen(seen), want, "%s", name);
    weir_guard_scratch_free(scratch);
}

static void test_overlaps(weir_arena_t *arena)
{
#define MAIL "\"p\":{\"entities\":{\"EMAIL_ADDRESS\":\"block\"},"
    static const char text[] = "mail joe@example.org";
    static const char blocked[] = "EMAIL_ADDRESS=block";
    judged(arena, MAIL "\"deny\":[{\"id\":\"x\",\"words\":[\"example.org\"],\"action\":\"flag\"}]}",
           text, blocked, "a flagged word hides no address that is blocked");
    judged(arena,
           MAIL "\"deny\":[{\"id\":\"x\",\"expression\":\"joe@[a-z.]+\",\"action\":"
                "\"allow\"}]}",
           text, blocked, "nor does an expression that is allowed");
    judged(arena,
           MAIL "\"deny\":[{\"id\":\"x\",\"expression\":\"mail joe@[a-z.]+\",\"action\":"
                "\"redact\"}]}",
           text, blocked, "nor one that is longer and redacted");
    judged(arena, MAIL "\"custom\":[{\"type\":\"X\",\"expression\":\".+\",\"score\":1}]}", text,
           blocked, "nor a type of one's own that has no action");
    judged(arena,
           "\"p\":{\"entities\":{\"EMAIL_ADDRESS\":\"block\",\"X\":\"flag\"},"
           "\"custom\":[{\"type\":\"X\",\"values\":[\"example.org\"],\"score\":1}]}",
           text, blocked, "nor one that is flagged");
    judged(arena, MAIL "\"topics\":[{\"id\":\"x\",\"words\":[\"example.org\"],\"least\":2}]}", text,
           blocked, "nor the first word of a topic");
    judged(arena,
           "\"b\":{\"locked\":[\"entities.*\"],\"entities\":{\"EMAIL_ADDRESS\":\"block\"}},"
           "\"p\":{\"extends\":\"b\",\"deny\":[{\"id\":\"x\",\"words\":[\"joe@example.org\"],"
           "\"action\":\"flag\"}]}",
           text, blocked, "nor a child's what its parent has locked");
    judged(arena,
           "\"b\":{\"deny\":[{\"id\":\"a\",\"words\":[\"zeus\"]}]},\"p\":{\"extends\":\"b\","
           "\"deny\":[{\"id\":\"b\",\"words\":[\"project zeus\"],\"action\":\"flag\"}]}",
           "about project zeus", "DENY_A=block", "nor a longer word another one");
    judged(arena,
           "\"p\":{\"entities\":{\"EMAIL_ADDRESS\":{\"action\":\"block\",\"min_score\":0.99}},"
           "\"deny\":[{\"id\":\"x\",\"words\":[\"example.org\"],\"action\":\"redact\"}]}",
           text, "DENY_X=redact", "an address below its least score hides nothing");
    judged(arena,
           "\"p\":{\"entities\":{\"EMAIL_ADDRESS\":\"redact\",\"X\":\"block\"},"
           "\"custom\":[{\"type\":\"X\",\"values\":[\"example.org\"]}]}",
           text, "X=block", "what is blocked counts before an address that is redacted");
    judged(arena,
           "\"p\":{\"entities\":{\"EMAIL_ADDRESS\":\"redact\",\"X\":\"mask\"},"
           "\"custom\":[{\"type\":\"X\",\"values\":[\"example.org\"]}]}",
           text, "EMAIL_ADDRESS=redact", "what changes less of the text does not");
    judged(arena,
           MAIL "\"allow\":{\"values\":[\"joe@example.org\"]},"
                "\"deny\":[{\"id\":\"x\",\"words\":[\"example.org\"],\"action\":\"flag\"}]}",
           text, "", "an address that is allowed passes");
    judged(arena, "\"p\":{\"entities\":{\"SECRET\":\"block\"}}", "key AKIAIOSFODNN7ABCDEFG",
           "SECRET=block", "secrets by their type's name alone");
#undef MAIL
}

static void test_refusals(weir_arena_t *arena)
{
    refused(arena, "\"entitis\":{}", "entitis", "", "an unknown member");
    refused(arena, "\"entities\":{\"E_MAIL\":\"redact\"}", "entities.E_MAIL", "built-in type",
            "an unknown type");
    refused(arena, "\"entities\":{\"US_SSN\":\"remove\"}", "entities.US_SSN", "",
            "an unknown action");
    refused(arena, "\"entities\":{\"US_SSN\":\"replace\"}", "entities.US_SSN", "replacement",
            "a replacement that is missing");
    refused(arena, "\"entities\":{\"US_SSN\":{\"min_score\":2}}", "min_score", "from 0 to 1",
            "a score out of range");
    refused(arena, "\"custom\":[{\"type\":\"X\",\"expression\":\"(\"}]", "p", "expression",
            "a wrong expression");
    refused(arena, "\"custom\":[{\"type\":\"X\"}]", "custom[0]", "either",
            "neither kind of search");
    refused(arena, "\"custom\":[{\"type\":\"x\",\"values\":[\"a\"]}]", "custom[0].type", "",
            "a type in small letters");
    refused(arena, "\"custom\":[{\"type\":\"DENY_X\",\"values\":[\"abc\"]}]", "custom[0].type",
            "DENY_", "a type with the name of an entry of deny");
    refused(arena, "\"deny\":[{\"id\":\"a b\",\"words\":[\"x\"]}]", "deny[0].id", "", "a bad id");
    refused(arena, "\"topics\":[{\"id\":\"a\",\"words\":[\"x\"],\"action\":\"redact\"}]",
            "topics[0].action", "", "an action that topics do not have");
    refused(arena, "\"allow\":{\"hashes\":[\"12\"]}", "allow.hashes[0]", "SHA-256", "a short hash");
    refused(arena, "\"classifiers\":{\"rudeness\":{}}", "classifiers.rudeness", "",
            "an unknown classifier");
    refused(arena, "\"classifiers\":{\"toxicity\":{\"block\":0.5,\"review\":0.9}}",
            "toxicity.review", "at most", "thresholds in the wrong order");
    refused(arena, "\"entities\":{\"PERSON\":\"redact\"}", "streaming.mode", "PERSON",
            "hold-back with names");
    refused(arena, "\"classify\":[\"output\"],\"classifiers\":{\"toxicity\":{}}", "streaming.mode",
            "classifiers", "hold-back with classifiers");
    refused(arena, "\"placeholders\":{\"names\":\"keyed\"}", "placeholders.key_file", "nothing",
            "keyed names without a key");
    refused(arena, "\"placeholders\":{\"names\":\"keyed\",\"key_file\":\"/nonexistent\"}",
            "placeholders.key_file", "/nonexistent", "a key file that is not there");
    refused(arena, "\"tier2\":{}", "tier2.url", "", "a second tier without an address");
    refused(arena, "\"block\":{\"status\":200}", "block.status", "", "a block that is no error");
    refused(arena, "\"extends\":\"q\"", "extends", "name of a policy", "an unknown parent");
    refused(arena, "\"extends\":\"p\"", "extends", "circle", "a policy that extends itself");
    refused(arena,
            "},\"b\":{\"locked\":[\"secrets\"]},\"c\":{\"extends\":\"b\",\"secrets\":\"flag\"",
            "policies.c.secrets", "locked", "a locked member");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.US_SSN\"]},\"m\":{\"extends\":\"b\"},"
            "\"c\":{\"extends\":\"m\",\"entities\":{\"US_SSN\":\"flag\"}",
            "policies.c.entities.US_SSN", "locked", "a member that a grandparent has locked");
    refused(arena, "},\"b\":{\"locked\":[\"secrets\"]},\"c\":{\"extends\":\"b\",\"shadow\":true",
            "policies.c.shadow", "could undo", "shadow over a lock");
    refused(arena,
            "},\"b\":{\"locked\":[\"secrets\"]},\"m\":{\"extends\":\"b\"},\"c\":{\"extends\":"
            "\"m\",\"allow\":{\"patterns\":[\".*\"]}",
            "policies.c.allow", "could undo", "values excused over a grandparent's lock");
    refused(arena,
            "},\"b\":{\"locked\":[\"secrets\"]},\"c\":{\"extends\":\"b\",\"scope\":{\"input\":["
            "\"system\"]}",
            "policies.c.scope.input", "no \"user\"", "parts left out over a lock");
    refused(arena,
            "},\"b\":{\"locked\":[\"secrets\"]},\"c\":{\"extends\":\"b\",\"streaming\":{\"mode\":"
            "\"observe\"}",
            "policies.c.streaming.mode", "a mode that acts", "streams only watched over a lock");
    refused(arena,
            "},\"b\":{\"locked\":[\"secrets\"],\"secrets\":\"block\"},\"c\":{\"extends\":\"b\","
            "\"entities\":{\"SECRET\":\"allow\"}",
            "policies.c.entities.SECRET", "locked secrets", "locked secrets by their type's name");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.SECRET\"]},\"c\":{\"extends\":\"b\","
            "\"secrets\":\"allow\"",
            "policies.c.secrets", "locked entities.SECRET", "and the other way round");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.US_SSN\"],\"entities\":{\"*\":\"block\"}},"
            "\"c\":{\"extends\":\"b\",\"entities\":{\"*\":\"allow\"}",
            "policies.c.entities.*", "locked entities.US_SSN",
            "a locked type by the rule for all types, where that is its rule");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.*\"],\"entities\":{\"*\":\"block\"}},"
            "\"c\":{\"extends\":\"b\",\"entities\":{\"EMAIL_ADDRESS\":\"allow\"}",
            "policies.c.entities.EMAIL_ADDRESS", "locked entities.*",
            "a type of its own where the rule for all types is locked");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.*\"]},\"m\":{\"extends\":\"b\"},"
            "\"c\":{\"extends\":\"m\",\"entities\":{\"US_SSN\":{\"min_score\":1}}",
            "policies.c.entities.US_SSN", "locked entities.*", "the same of a grandparent");
    refused(arena,
            "},\"b\":{\"locked\":[\"entities.*\"]},\"c\":{\"extends\":\"b\",\"secrets\":\"allow\"",
            "policies.c.secrets", "locked entities.*", "and secrets are one of them");
    refused(arena,
            "},\"b\":{\"locked\":[\"classifiers\"],\"classifiers\":{\"injection\":{}}},"
            "\"c\":{\"extends\":\"b\",\"classify\":[]",
            "policies.c.classify", "no \"input\"", "locked classifiers that are asked nothing");
    weir_guards_t *guards;
    weir_error_t err;
    is_int(load(arena, "{\"version\":1,\"policies\":{\"p\":{}},\"default\":\"q\"}", &guards, &err),
           WEIR_ERR_INVALID, "an unknown default");
    is_int(load(arena, "{\"version\":1}", &guards, &err), WEIR_ERR_INVALID, "no policies");
    is_int(load(arena, "[]", &guards, &err), WEIR_ERR_INVALID, "no object");
}

static void test_keys(weir_arena_t *arena)
{
    char path[] = "/tmp/weir-guards-XXXXXX";
    int fd = mkstemp(path);
    char text[512];
    weir_guards_t *guards;
    weir_error_t err;
    ok(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef!", 33) == 33, "a key file");
    close(fd);
    snprintf(text, sizeof text,
             "{\"version\":1,\"default\":\"p\",\"policies\":{\"p\":{\"placeholders\":{\"names\":"
             "\"keyed\",\"key_file\":\"%s\",\"restore\":[\"content\",\"tool_arguments\"]}}}}",
             path);
    is_int(load(arena, text, &guards, &err), WEIR_OK, "keyed names");
    const weir_guard_policy_t *p = weir_guards_at(guards, 0);
    uint8_t zero[32] = {0};
    ok(p->names == WEIR_GUARD_NAMES_KEYED && memcmp(p->key, zero, 32) != 0, "have a key");
    is_int(p->restore, WEIR_GUARD_CONTENT | WEIR_GUARD_TOOL_ARGUMENTS, "and places to restore in");
    weir_guards_free(guards);
    unlink(path);

    is_int(weir_guards_load("policies/examples/guards.json", arena, &guards, &err), WEIR_OK,
           "the example loads");
    weir_guards_free(guards);
}

int main(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    test_policies(&arena);
    test_finding(&arena);
    test_overlaps(&arena);
    test_refusals(&arena);
    test_keys(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
