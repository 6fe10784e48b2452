/* weir-guard scan and weir-guard rules. */
#include "engine/base/json.h"
#include "guardrails/tools/tool.h"

static void write_findings(const weir_guard_result_t *result, weir_buf_t *out)
{
    weir_buf_append_z(out, ", \"findings\": [");
    for (size_t i = 0; i < result->count; i++) {
        const weir_guard_finding_t *f = &result->findings[i];
        weir_buf_printf(out, "%s{\"type\": ", i == 0 ? "" : ", ");
        weir_json_write_string(out, weir_str(f->type, strlen(f->type)));
        weir_buf_printf(out, ", \"start\": %u, \"end\": %u, \"score\": %.3g, \"rule\": ", f->start,
                        f->end, (double)f->score);
        weir_json_write_string(out, weir_str(f->rule, strlen(f->rule)));
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_z(out, result->truncated ? "], \"truncated\": true" : "]");
}

static weir_status_t scan_text(weir_guard_session_t *s, weir_str_t text,
                               weir_guard_result_t *result, weir_scores_t *scores,
                               weir_error_t *err)
{
    weir_status_t status =
        weir_guard_scan(s->rules, s->scratch, text.data, text.len, NULL, result, err);
    if (status == WEIR_OK && s->scores) {
        status = weir_classify_text(&s->classifier, &s->fold, text.data, text.len, scores, err);
    }
    return status;
}

static weir_status_t scan_line(void *ctx, const weir_str_t text, weir_buf_t *members,
                               weir_str_t *new_text, weir_error_t *err)
{
    weir_guard_session_t *s = ctx;
    weir_guard_result_t result;
    weir_scores_t scores;
    weir_status_t status = scan_text(s, text, &result, &scores, err);
    (void)new_text;
    if (status != WEIR_OK) {
        return status;
    }
    write_findings(&result, members);
    if (s->scores) {
        weir_buf_append_z(members, ", \"scores\": {");
        for (unsigned h = 0; h < WEIR_HEADS; h++) {
            weir_buf_printf(members, "%s\"%s\": %.6g", h == 0 ? "" : ", ",
                            weir_head_name((weir_head_t)h), (double)scores.p[h]);
        }
        weir_buf_append_char(members, '}');
    }
    weir_buf_printf(members, ", \"action\": \"%s\"",
                    weir_guard_default_action(s, &result, s->scores ? &scores : NULL));
    return WEIR_OK;
}

static int scan_file(weir_guard_session_t *s, const char *name)
{
    weir_arena_t arena;
    weir_str_t text;
    weir_guard_result_t result;
    weir_scores_t scores;
    weir_error_t err;
    weir_arena_init(&arena, 1 << 20, 0);
    int rc = weir_guard_read_file(name, &arena, &text);
    if (rc == 0 && scan_text(s, text, &result, &scores, &err) != WEIR_OK) {
        rc = weir_guard_complain("%s: %s", name, err.message);
    } else if (rc == 0) {
        for (size_t i = 0; i < result.count; i++) {
            const weir_guard_finding_t *f = &result.findings[i];
            printf("%s: %u-%u %s %s %.2f\n", name, f->start, f->end, f->type, f->rule,
                   (double)f->score);
        }
        for (unsigned h = 0; s->scores && h < WEIR_HEADS; h++) {
            weir_zone_t zone = weir_classify_zone(&s->classifier, (weir_head_t)h, scores.p[h]);
            if (zone != WEIR_ZONE_PASS) {
                printf("%s: %s %.3f %s\n", name, weir_head_name((weir_head_t)h),
                       (double)scores.p[h], zone == WEIR_ZONE_BLOCK ? "block" : "review");
            }
        }
        printf("%s: action %s\n", name,
               weir_guard_default_action(s, &result, s->scores ? &scores : NULL));
        if (result.truncated) {
            rc = weir_guard_complain("%s: holds more than is listed or was decoded", name);
        }
    }
    weir_arena_free(&arena);
    return rc;
}

int weir_guard_scan_command(int argc, char **argv)
{
    weir_guard_tool_options_t options;
    weir_guard_session_t session;
    int rc = weir_guard_tool_options(argc, argv, &options);
    if (rc != 0) {
        return rc;
    }
    if (options.stream > 0) {
        weir_guard_complain("scan has no --stream: it is an option of redact");
        weir_guard_tool_options_free(&options);
        return 2;
    }
    rc = weir_guard_session_open(&options, &session);
    if (rc == 0) {
        if (options.jsonl) {
            rc = weir_guard_each_line(&options, scan_line, &session);
        } else if (options.file_count == 0) {
            rc = scan_file(&session, "-");
        }
        for (int i = 0; !options.jsonl && i < options.file_count; i++) {
            rc |= scan_file(&session, options.files[i]);
        }
        weir_guard_session_close(&session);
    }
    weir_guard_tool_options_free(&options);
    return rc;
}

int weir_guard_rules_command(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        weir_guard_complain("rules takes no arguments");
        return 2;
    }
    const char *type = NULL;
    for (size_t i = 0; (type = weir_guard_entity_name(i)) != NULL; i++) {
        printf("%s%s\n", type, weir_guard_entity_needs_window(type) ? " (needs a window)" : "");
        const char *rule = NULL;
        for (size_t r = 0; (rule = weir_guard_rule_name(type, r)) != NULL; r++) {
            printf("    %s\n", rule);
        }
    }
    return 0;
}
