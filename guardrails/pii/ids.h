/* The tables of identity numbers, one a part of the world; ids.c puts them in a row. */
#ifndef WEIR_GUARDRAILS_PII_IDS_H
#define WEIR_GUARDRAILS_PII_IDS_H

#include "guardrails/matcher.h"

extern const weir_guard_id_table_t weir_guard_ids_americas;
extern const weir_guard_id_table_t weir_guard_ids_west;     /* Western and Northern Europe */
extern const weir_guard_id_table_t weir_guard_ids_east;     /* Southern and Eastern Europe */
extern const weir_guard_id_table_t weir_guard_ids_asia;     /* Asia, Africa, Oceania */
extern const weir_guard_id_table_t weir_guard_ids_licences; /* driver licences, passports */
extern const weir_guard_id_table_t weir_guard_ids_vat;      /* value added tax, with a prefix */

/* Checks that VAT numbers share with their countries' own: n characters of the right kind. */
bool weir_guard_bg_egn(const char *d, size_t n);
bool weir_guard_cy_tic(const char *t, size_t n);
bool weir_guard_cz_birth_number(const char *d, size_t n);
bool weir_guard_es_cif(const char *t, size_t n);
bool weir_guard_es_nif(const char *t, size_t n);
bool weir_guard_gr_afm(const char *d, size_t n);
bool weir_guard_ie_pps(const char *t, size_t n);
bool weir_guard_it_vat(const char *d, size_t n);
bool weir_guard_lv_pk(const char *d, size_t n);
bool weir_guard_pl_nip(const char *d, size_t n);
bool weir_guard_pt_nif(const char *d, size_t n);
bool weir_guard_si_tax(const char *d, size_t n);

#endif
