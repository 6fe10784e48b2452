/* What the trainer reads: tables and grammars; the first byte chooses. */
#include "guardrails/training/grammar.h"
#include "guardrails/training/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_error_t err;
    if (size < 1 || size > 4096) {
        return 0;
    }
    weir_arena_init(&arena, 0, (size_t)64 << 20);
    const char *text = (const char *)data + 1;
    if (data[0] == 'g') {
        weir_corpus_t corpus;
        weir_corpus_init(&corpus, &arena);
        weir_grammar_add(&corpus, "fuzz", weir_str(text, size - 1), 1, &err);
    } else {
        weir_table_t table;
        weir_record_t record;
        bool end = false;
        weir_table_open(&table, text, size - 1, data[0] == 't' ? '\t' : ',');
        while (weir_table_next(&table, &arena, &record, &end, &err) == WEIR_OK && !end) {
        }
    }
    weir_arena_free(&arena);
    return 0;
}
