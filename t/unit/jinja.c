/* The Jinja interpreter through its public interface; t/engine/jinja.t compares it with jinja2. */
#include "engine/jinja/jinja.h"

#include <pthread.h>
#include <stdio.h>

#include "t/support/tap.h"

static const char data[] = "{\"s\":\"a<b>\",\"n\":3,\"l\":[1,2,3],\"d\":{\"k\":\"v\"},"
                           "\"big\":123456789012345678901234567890,\"f\":0.1}";

/* Renders source over `data`; the text, or the error's message, lies in arena. */
static weir_status_t render(const char *source, const weir_jinja_limits_t *limits,
                            weir_arena_t *arena, weir_jinja_output_t *out, weir_error_t *err)
{
    static const char *const names[] = {"s", "n", "l", "d", "big", "f"};
    weir_jinja_template_t *tmpl;
    weir_jinja_t *in;
    weir_json_doc_t doc;
    weir_status_t status = weir_jinja_compile(weir_str(source, strlen(source)), limits, &tmpl, err);
    if (status != WEIR_OK) {
        return status;
    }
    status = weir_json_parse(data, sizeof(data) - 1, NULL, arena, &doc, err);
    status = status != WEIR_OK ? status : weir_jinja_begin(tmpl, limits, &in, err);
    if (status == WEIR_OK) {
        for (size_t i = 0; i < 6 && status == WEIR_OK; i++) {
            status = weir_jinja_set_json(in, names[i], &doc, weir_json_get(&doc, 0, names[i]), err);
        }
        weir_jinja_set_string(in, "bos_token", WEIR_STR("<s>"), true, err);
        weir_jinja_set_now(in, 86400);
        status = status != WEIR_OK ? status : weir_jinja_render(in, arena, out, err);
        weir_jinja_end(in);
    }
    weir_jinja_free(tmpl);
    return status;
}

/* The source with its line breaks shown, as a test's name must be one line. */
static const char *shown(const char *source, char name[64])
{
    size_t n = strlen(source) < 60 ? strlen(source) : 60;
    for (size_t i = 0; i < n; i++) {
        name[i] = source[i] == '\n' ? '/' : source[i];
    }
    name[n] = '\0';
    return name;
}

static void renders(const char *source, const char *want)
{
    weir_arena_t arena;
    weir_jinja_output_t out = {0};
    weir_error_t err = {0};
    weir_arena_init(&arena, 0, 0);
    weir_status_t status = render(source, NULL, &arena, &out, &err);
    if (status != WEIR_OK) {
        diag("%s", err.message);
    }
    char name[64];
    is_str(out.text.data, out.text.len, want, "%s", shown(source, name));
    weir_arena_free(&arena);
}

static void fails(const char *source, weir_status_t want, const char *part)
{
    char name[64];
    weir_arena_t arena;
    weir_jinja_output_t out = {0};
    weir_error_t err = {0};
    weir_arena_init(&arena, 0, 0);
    weir_status_t status = render(source, NULL, &arena, &out, &err);
    ok(status == want && strstr(err.message, part) != NULL, "%s: %s: %s", shown(source, name),
       weir_status_name(status), err.message);
    weir_arena_free(&arena);
}

static void test_rendering(void)
{
    renders("plain", "plain");
    renders("", "");
    renders("{{ s }}|{{ n + 1 }}|{{ l[-1] }}|{{ d.k }}{{ d['k'] }}|{{ missing }}", "a<b>|4|3|vv|");
    renders("{{ big }} {{ f }} {{ 1e22 }} {{ 10 / 4 }} {{ -7 // 2 }}",
            "123456789012345678901234567890 0.1 1e+22 2.5 -4");
    renders("{% for x in l if x != 2 %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}"
            "{% endfor %}",
            "1:1,2:3");
    renders("{% set ns = namespace(t=0) %}{% for x in l %}{% set ns.t = ns.t + x %}{% endfor %}"
            "{{ ns.t }}",
            "6");
    renders("{% macro m(a, b='y') %}<{{ a }}{{ b }}>{% endmacro %}{{ m(1) }}{{ m(2, b=3) }}",
            "<1y><23>");
    renders("a\n  {% if n %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc");
    renders("{{ d|tojson }} {{ l|tojson(indent=1) }}", "{\"k\": \"v\"} [\n 1,\n 2,\n 3\n]");
    renders("{{ strftime_now('%d %b %Y') }}", "02 Jan 1970");
    renders("{{ 'žŠß'|upper }} {{ 'ΑΣ'|lower }} {{ 'é'|length }} {{ 'añb'[::-1] }}",
            "ŽŠSS ας 1 bña");
}

static void test_errors(void)
{
    fails("{{ raise_exception('stop it') }}", WEIR_ERR_INVALID, "stop it");
    fails("{{ missing.attr }}", WEIR_ERR_INVALID, "'missing' is undefined");
    fails("\n\n{{ s + n }}", WEIR_ERR_INVALID, "line 3");
    fails("{% include 'x' %}", WEIR_ERR_UNSUPPORTED, "line 1, column 4: tag 'include'");
    fails("x\n {{ s|urlize }}", WEIR_ERR_UNSUPPORTED, "line 2, column 7: filter 'urlize'");
    fails("{% if n %}", WEIR_ERR_INVALID, "elif");
    fails("\xC3(", WEIR_ERR_INVALID, "UTF-8");
    fails("{{ 'x' * 9999999999 }}", WEIR_ERR_LIMIT, "more than");
    fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", WEIR_ERR_LIMIT, "deep");
    fails("{{ range(1000000) }}", WEIR_ERR_LIMIT, "Range too big");
    fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
          WEIR_ERR_LIMIT, "more than");
}

static void test_limits(void)
{
    static const struct {
        weir_jinja_limits_t limits;
        const char *name;
    } table[] = {{{.max_source = 10}, "source"}, {{.max_nodes = 3}, "nodes"},
                 {{.max_steps = 5}, "steps"},    {{.max_memory = 700}, "memory"},
                 {{.max_output = 20}, "output"}, {{.max_depth = 3}, "depth"}};
    const char *source = "{{ s ~ s ~ (s ~ (s ~ (s ~ s ~ s ~ s))) }}";
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        weir_arena_t arena;
        weir_jinja_output_t out;
        weir_error_t err = {0};
        weir_arena_init(&arena, 0, 0);
        is_int(render(source, &table[i].limits, &arena, &out, &err), WEIR_ERR_LIMIT, "%s: %s",
               table[i].name, err.message);
        weir_arena_free(&arena);
    }
}

static void test_provenance(void)
{
    weir_arena_t arena;
    weir_jinja_output_t out = {0};
    weir_error_t err = {0};
    weir_arena_init(&arena, 0, 0);
    is_int(render("{{ bos_token ~ '<|u|>' ~ s ~ (s|upper)[1:] }}</s>{{ n }}{{ 7 }}", NULL, &arena,
                  &out, &err),
           WEIR_OK, "rendered");
    is_str(out.text.data, out.text.len, "<s><|u|>a<b><B></s>37", "the text");
    const uint32_t want[][3] = {{0, 8, 1}, {8, 15, 0}, {15, 19, 1}, {19, 20, 0}, {20, 21, 1}};
    if (is_int((long long)out.n_spans, 5, "five spans")) {
        for (size_t i = 0; i < 5; i++) {
            ok(out.spans[i].start == want[i][0] && out.spans[i].end == want[i][1] &&
                   out.spans[i].trusted == (want[i][2] == 1),
               "span %zu: %u..%u %d", i, out.spans[i].start, out.spans[i].end,
               out.spans[i].trusted);
        }
    }
    weir_arena_free(&arena);
}

static bool iterates(const char *source)
{
    weir_jinja_template_t *tmpl;
    if (weir_jinja_compile(weir_str(source, strlen(source)), NULL, &tmpl, NULL) != WEIR_OK) {
        return false;
    }
    bool result = weir_jinja_iterates(tmpl, "content");
    weir_jinja_free(tmpl);
    return result;
}

static void test_analysis(void)
{
    ok(iterates("{% for p in m.content %}{% endfor %}"), "a loop over an attribute");
    ok(iterates("{% for p in m['content']|list %}{% endfor %}"), "over a key, filtered");
    ok(iterates("{% set c = m.content %}{% for p in c %}{% endfor %}"), "over an alias");
    ok(iterates("{{ m['content'][0]['text'] }}"), "a part's own field");
    ok(iterates("{% macro r(content) %}{% for p in content %}{% endfor %}{% endmacro %}"),
       "in a macro");
    ok(!iterates("{{ m.content }}{% for p in m.parts %}{{ p.content }}{% endfor %}"), "else not");
    ok(!iterates("{{ m.content[0] }}{{ m.content[1:] }}"), "nor for characters of a text");
}

static void *render_many(void *arg)
{
    const weir_jinja_template_t *tmpl = arg;
    long good = 0;
    for (int i = 0; i < 200; i++) {
        weir_arena_t arena;
        weir_jinja_t *in;
        weir_jinja_output_t out;
        weir_arena_init(&arena, 0, 0);
        if (weir_jinja_begin(tmpl, NULL, &in, NULL) == WEIR_OK) {
            good += weir_jinja_render(in, &arena, &out, NULL) == WEIR_OK &&
                    weir_str_is(out.text, "0,1,2,abc");
            weir_jinja_end(in);
        }
        weir_arena_free(&arena);
    }
    return (void *)good;
}

static void test_threads(void)
{
    const char *source =
        "{% set l = [] %}{% for i in range(3) %}{% set _ = l.append(i) %}{% endfor "
        "%}{{ l|join(',') }},{{ 'ABC'|lower }}";
    weir_jinja_template_t *tmpl;
    pthread_t threads[4];
    if (!is_int(weir_jinja_compile(weir_str(source, strlen(source)), NULL, &tmpl, NULL), WEIR_OK,
                "compiled")) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, render_many, tmpl);
    }
    long good = 0;
    for (int i = 0; i < 4; i++) {
        void *n;
        pthread_join(threads[i], &n);
        good += (long)n;
    }
    is_int(good, 800, "four threads render one template");
    weir_jinja_free(tmpl);
}

int main(void)
{
    test_rendering();
    test_errors();
    test_limits();
    test_provenance();
    test_analysis();
    test_threads();
    return done_testing();
}
