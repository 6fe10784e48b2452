/* The tables of identity numbers, one a part of the world; ids.c puts them in a row. */
#ifndef WEIR_GUARDRAILS_PII_IDS_H
#define WEIR_GUARDRAILS_PII_IDS_H

#include "guardrails/matcher.h"

extern const weir_guard_id_table_t weir_guard_ids_americas;
extern const weir_guard_id_table_t weir_guard_ids_west;     /* Western and Northern Europe */
extern const weir_guard_id_table_t weir_guard_ids_east;     /* Southern and Eastern Europe */
extern const weir_guard_id_table_t weir_guard_ids_asia;     /* Asia, Africa, Oceania */
extern const weir_guard_id_table_t weir_guard_ids_licences; /* driver licences, passports */

#endif
