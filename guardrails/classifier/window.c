#include "guardrails/classifier/window.h"

#include "guardrails/classifier/features.h"
#include "guardrails/classifier/paths.h"

#include <string.h>

#define MARK WEIR_CLASS_MARK

#define SAME4(c)  (c), (c) + 1, (c) + 2, (c) + 3
#define SAME16(c) SAME4(c), SAME4((c) + 4), SAME4((c) + 8), SAME4((c) + 12)
#define NONE8     0, 0, 0, 0, 0, 0, 0, 0
#define M         MARK
const uint8_t weir_classify_class[256] = {NONE8, NONE8, NONE8, NONE8, /* controls */
                                          /* space ! " # $ % & ' ( ) * + , - . / */
                                          0, M, 0, M, M, M, M, 0, M, M, M, M, 0, 0, 0, M,
                                          /* 0 to 9 : ; < = > ? */
                                          SAME4('0'), SAME4('4'), '8', '9', M, M, M, M, M, M,
                                          /* @ A to O */
                                          M, 'a', 'b', 'c', SAME4('d'), SAME4('h'), SAME4('l'),
                                          /* P to Z [ \ ] ^ _ */
                                          SAME4('p'), SAME4('t'), 'x', 'y', 'z', M, M, M, M, 0,
                                          /* ` a to o */
                                          M, 'a', 'b', 'c', SAME4('d'), SAME4('h'), SAME4('l'),
                                          /* p to z { | } ~ delete */
                                          SAME4('p'), SAME4('t'), 'x', 'y', 'z', M, M, M, M, 0,
                                          /* bytes of characters beyond ASCII */
                                          SAME16(0x80), SAME16(0x90), SAME16(0xA0), SAME16(0xB0),
                                          SAME16(0xC0), SAME16(0xD0), SAME16(0xE0), SAME16(0xF0)};
#undef M

void weir_window_open(weir_classify_stream_t *s)
{
    s->len = 1;
    s->word = 0;
    s->mark_bytes = 0;
    s->marks = 0;
    s->mark_open = false;
    s->text[0] = ' ';
}

static void end_mark(weir_classify_stream_t *s)
{
    memset(s->mark + s->word, 0, 8);
    s->mark_part[s->marks] = (uint8_t)((s->len - 1) / WEIR_CLASSIFY_PART);
    s->mark_bucket[s->marks++] = weir_mark_bucket(s->mark, s->word, s->model->buckets);
    s->mark_bytes += s->word + 1;
    s->word = 0;
    s->mark_open = false;
}

/* Ends the open word or mark, if there is one. */
static void end_open(weir_classify_stream_t *s)
{
    if (s->mark_open) {
        end_mark(s);
    } else if (s->word > 0) {
        s->text[s->len++] = ' ';
        s->word = 0;
    }
}

static bool is_full(const weir_classify_stream_t *s)
{
    return s->len - 1 + s->mark_bytes >= WEIR_CLASSIFY_WINDOW;
}

/* Takes what can be taken many bytes at a time; returns how many bytes that is. */
static size_t take_chunks(weir_classify_stream_t *s, const char *text, size_t len)
{
#ifdef WEIR_CLASSIFY_X86
    if (s->model->path == WEIR_PATH_AVX512) {
        return weir_take_avx512(s, text, len);
    }
    if (s->model->path == WEIR_PATH_AVX2) {
        return weir_take_avx2(s, text, len);
    }
#endif
    (void)s;
    (void)text;
    (void)len;
    return 0;
}

size_t weir_window_take(weir_classify_stream_t *s, const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    for (;;) {
        i += s->mark_open ? 0 : take_chunks(s, text + i, len - i);
        if (i == len) {
            return i;
        }
        uint8_t c = weir_classify_class[p[i]];
        if (c == 0) {
            end_open(s);
            i++;
            continue;
        }
        if (s->word > 0 && ((c == MARK) != s->mark_open || s->word == WEIR_CLASSIFY_WORD)) {
            end_open(s);
        }
        if (s->word == 0 && is_full(s)) {
            return i;
        }
        if (c == MARK) {
            s->mark_open = true;
            s->mark[s->word++] = p[i++];
            continue;
        }
        /* A word's bytes, as many as there are and as fit. */
        uint32_t n = s->word;
        uint8_t *out = s->text + s->len;
        do {
            *out++ = c;
            n++;
            i++;
        } while (i < len && n < WEIR_CLASSIFY_WORD && (c = weir_classify_class[p[i]]) > MARK);
        s->len += n - s->word;
        s->word = n;
    }
}

void weir_each_window(const weir_classifier_t *model, const char *text, size_t len,
                      weir_window_fn fn, void *context)
{
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    weir_classify_stream_t s;
    memset(&s, 0, sizeof(s));
    s.model = model;
    weir_window_open(&s);
    for (;;) {
        size_t taken = weir_window_take(&s, text, len);
        uint32_t n = weir_window_buckets(&s, &s.previous, bucket);
        if (n > 0) {
            fn(context, bucket, n);
        }
        if (taken == len) {
            return;
        }
        text += taken;
        len -= taken;
        weir_window_open(&s);
    }
}
