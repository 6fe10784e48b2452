/* The GGUF reader on sound files: look-ups, conversions, views, ways of opening. */
#include "engine/llm/gguf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/support/gguf_write.h"
#include "t/support/tap.h"

static weir_arena_t arena;

static weir_str_t sample_file(uint32_t alignment)
{
    static gguf_write_t w;
    static const float values[64] = {1.5f, -2};
    static const weir_str_t words[] = {{"one", 3}, {"", 0}, {"drei\0!", 6}};
    static const int32_t numbers[] = {-5, 0, INT32_MAX};
    gguf_write_init(&w, &arena);
    w.alignment = alignment;
    gguf_write_u32(&w, "a.u32", UINT32_MAX);
    gguf_write_u64(&w, "a.u64", UINT64_C(1) << 40);
    gguf_write_i32(&w, "a.i32", -7);
    gguf_write_f32(&w, "a.f32", 0.25f);
    gguf_write_bool(&w, "a.bool", true);
    gguf_write_str(&w, "a.str", WEIR_STR("text \xC3\xA9\n\x01\xFF"));
    gguf_write_raw(&w, "a.u8", WEIR_GGUF_U8, "\xFF", 1);
    gguf_write_raw(&w, "a.i8", WEIR_GGUF_I8, "\xFF", 1);
    gguf_write_raw(&w, "a.u16", WEIR_GGUF_U16, "\xFF\xFF", 2);
    gguf_write_raw(&w, "a.i16", WEIR_GGUF_I16, "\xFE\xFF", 2);
    int64_t negative = -1;
    gguf_write_raw(&w, "a.i64", WEIR_GGUF_I64, &negative, 8);
    double large = 1e300;
    gguf_write_raw(&w, "a.f64", WEIR_GGUF_F64, &large, 8);
    gguf_write_str_array(&w, "b.words", words, 3);
    gguf_write_i32_array(&w, "b.numbers", numbers, 3);
    gguf_write_str_array(&w, "b.empty", NULL, 0);
    uint64_t vector[] = {3};
    uint64_t matrix[] = {32, 2};
    gguf_write_tensor(&w, "vector", WEIR_DTYPE_F32, 1, vector, values, 12);
    gguf_write_tensor(&w, "matrix", WEIR_DTYPE_Q8_0, 2, matrix, values, 68);
    gguf_write_tensor(&w, "another", WEIR_DTYPE_F16, 2, matrix, values, 128);
    weir_buf_t file;
    weir_buf_init(&file, &arena);
    gguf_write_finish(&w, &file);
    return weir_str(file.data, file.len);
}

static weir_gguf_t *open_copy(weir_str_t file, void **copy)
{
    weir_gguf_t *gguf = NULL;
    weir_error_t err = {0};
    *copy = aligned_alloc(32, (file.len + 31) / 32 * 32);
    memcpy(*copy, file.data, file.len);
    ok(weir_gguf_open_memory(*copy, file.len, &gguf, &err) == WEIR_OK, "it opens%s", err.message);
    return gguf;
}

static void test_numbers(const weir_gguf_t *g)
{
    uint32_t u32 = 77;
    uint64_t u64 = 77;
    float f32 = 77;
    bool flag = false;
    ok(weir_gguf_u32(g, "a.u32", &u32) == WEIR_OK && u32 == UINT32_MAX, "u32");
    ok(weir_gguf_u32(g, "a.u8", &u32) == WEIR_OK && u32 == 255, "u8 as u32");
    ok(weir_gguf_u32(g, "a.u16", &u32) == WEIR_OK && u32 == 65535, "u16 as u32");
    ok(weir_gguf_u64(g, "a.u64", &u64) == WEIR_OK && u64 == UINT64_C(1) << 40, "u64");
    ok(weir_gguf_u32(g, "a.u64", &u32) == WEIR_ERR_INVALID && u32 == 65535, "u64 over u32");
    static const char *const negative[] = {"a.i8", "a.i16", "a.i32", "a.i64"};
    for (int i = 0; i < 4; i++) {
        ok(weir_gguf_u64(g, negative[i], &u64) == WEIR_ERR_INVALID, "%s is negative", negative[i]);
    }
    ok(weir_gguf_u32(g, "a.f32", &u32) == WEIR_ERR_INVALID, "a real is no integer");
    ok(weir_gguf_u32(g, "a.bool", &u32) == WEIR_ERR_INVALID, "nor is a boolean");
    ok(weir_gguf_u32(g, "a.str", &u32) == WEIR_ERR_INVALID, "nor is a string");
    ok(weir_gguf_u32(g, "nothing", &u32) == WEIR_ERR_NOT_FOUND && u32 == 65535, "no such key");
    ok(weir_gguf_f32(g, "a.f32", &f32) == WEIR_OK && f32 == 0.25f, "f32");
    ok(weir_gguf_f32(g, "a.i16", &f32) == WEIR_OK && f32 == -2, "i16 as f32");
    ok(weir_gguf_f32(g, "a.f64", &f32) == WEIR_ERR_INVALID, "f64 over f32");
    ok(weir_gguf_bool(g, "a.bool", &flag) == WEIR_OK && flag, "bool");
    ok(weir_gguf_bool(g, "a.u8", &flag) == WEIR_ERR_INVALID, "a number is no boolean");
}

static void test_arrays(const weir_gguf_t *g)
{
    weir_gguf_type_t type = WEIR_GGUF_U8;
    uint64_t count = 0;
    weir_str_t s = {0};
    double d = 0;
    ok(weir_gguf_array(g, "b.words", &type, &count) == WEIR_OK && type == WEIR_GGUF_STRING &&
           count == 3,
       "an array of strings");
    ok(weir_gguf_array_str(g, "b.words", 2, &s) == WEIR_OK &&
           weir_str_eq(s, weir_str("drei\0!", 6)),
       "an element, with a NUL inside");
    ok(weir_gguf_array_str(g, "b.words", 1, &s) == WEIR_OK && s.len == 0, "an empty element");
    ok(weir_gguf_array_str(g, "b.words", 3, &s) == WEIR_ERR_INVALID, "none behind the last");
    ok(weir_gguf_array_str(g, "b.numbers", 0, &s) == WEIR_ERR_INVALID, "numbers are no strings");
    ok(weir_gguf_array_f64(g, "b.numbers", 0, &d) == WEIR_OK && d == -5, "a number");
    ok(weir_gguf_array_f64(g, "b.numbers", 2, &d) == WEIR_OK && d == INT32_MAX, "the last number");
    ok(weir_gguf_array_f64(g, "b.numbers", UINT64_MAX, &d) == WEIR_ERR_INVALID, "far behind it");
    ok(weir_gguf_array_f64(g, "b.words", 0, &d) == WEIR_ERR_INVALID, "strings are no numbers");
    ok(weir_gguf_array(g, "b.empty", &type, &count) == WEIR_OK && count == 0, "an empty array");
    ok(weir_gguf_array(g, "a.u32", &type, &count) == WEIR_ERR_INVALID, "a number is no array");
    ok(weir_gguf_array(g, "nothing", &type, &count) == WEIR_ERR_NOT_FOUND, "no such array");
    ok(weir_gguf_str(g, "a.str", &s) == WEIR_OK && s.len == 10, "a string");
    ok(weir_gguf_str(g, "b.words", &s) == WEIR_ERR_INVALID, "an array is no string");
}

static void test_tensors(const weir_gguf_t *g, const char *base, uint32_t alignment)
{
    is_int(weir_gguf_tensor_count(g), 3, "three tensors");
    const weir_gguf_tensor_t *t = weir_gguf_tensor(g, "matrix");
    if (t == NULL) {
        ok(false, "a tensor by name");
        return;
    }
    ok(t->type == WEIR_DTYPE_Q8_0 && t->n_dims == 2 && t->dims[0] == 32 && t->dims[1] == 2 &&
           t->dims[2] == 1 && t->dims[3] == 1 && t->bytes == 68,
       "its shape, type and size");
    ok(((uintptr_t)t->data - (uintptr_t)base) % alignment == 0, "its data is aligned");
    float first;
    memcpy(&first, t->data, 4);
    ok(first == 1.5f, "and is where the file has it");
    ok(weir_gguf_tensor_at(g, 1) == t, "the same by index");
    ok(weir_gguf_tensor(g, "matri") == NULL && weir_gguf_tensor(g, "matrixx") == NULL,
       "no tensor by half a name");
    ok(weir_gguf_tensor_at(g, 3) == NULL, "none behind the last");
}

static void test_description(const weir_gguf_t *g)
{
    static const char *const expect[] = {
        "4294967295",
        "1099511627776",
        "-7",
        "0.25",
        "true",
        "\"text \xC3\xA9\\n\\x01\xEF\xBF\xBD\"",
        "255",
        "-1",
        "65535",
        "-2",
        "-1",
        "1e+300",
        "[\"one\", \"\", \"drei\\x00!\"]",
        "[-5, 0, 2147483647]",
        "[]",
    };
    for (uint32_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
        weir_buf_t text;
        weir_buf_init(&text, &arena);
        weir_gguf_describe_value(g, i, &text);
        weir_str_t name = weir_gguf_key_name(g, i);
        is_str(text.data, text.len, expect[i], "%.*s in words", (int)name.len, name.data);
    }
}

static void test_files(weir_str_t file)
{
    char path[] = "/tmp/weir-gguf-XXXXXX";
    int fd = mkstemp(path);
    ok(write(fd, file.data, file.len) == (ssize_t)file.len, "a file");
    weir_gguf_t *by_path = NULL;
    weir_gguf_t *by_fd = NULL;
    ok(weir_gguf_open(path, &by_path, NULL) == WEIR_OK, "opens by path");
    ok(weir_gguf_open_fd(fd, "it", &by_fd, NULL) == WEIR_OK, "opens by descriptor");
    close(fd);
    unlink(path);
    const weir_gguf_tensor_t *t = weir_gguf_tensor(by_fd, "vector");
    ok(t != NULL && ((const float *)t->data)[1] == -2, "and outlives both");
    is_int((long long)weir_gguf_file_bytes(by_path), (long long)file.len, "its size");
    weir_gguf_close(by_path);
    weir_gguf_close(by_fd);
    weir_gguf_close(NULL);
}

int main(void)
{
    weir_arena_init(&arena, 1 << 16, 0);
    static const uint32_t alignments[] = {8, 32, 4096};
    for (int i = 0; i < 3; i++) {
        void *copy;
        weir_str_t file = sample_file(alignments[i]);
        weir_gguf_t *gguf = open_copy(file, &copy);
        test_numbers(gguf);
        test_arrays(gguf);
        test_tensors(gguf, copy, alignments[i]);
        test_description(gguf);
        weir_gguf_close(gguf);
        free(copy);
        test_files(file);
    }
    weir_arena_free(&arena);
    return done_testing();
}
