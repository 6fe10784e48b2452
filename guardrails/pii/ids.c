/* All identity numbers, in the order of their rule numbers. */
#include "guardrails/pii/ids.h"

const weir_guard_id_table_t *const weir_guard_id_tables[] = {
    &weir_guard_ids_americas, &weir_guard_ids_west,     &weir_guard_ids_east,
    &weir_guard_ids_asia,     &weir_guard_ids_licences, &weir_guard_ids_vat,
};

const size_t weir_guard_id_table_count =
    sizeof(weir_guard_id_tables) / sizeof(weir_guard_id_tables[0]);
