/*
 * The engine with another back end, for tests and for back ends that are opened at run time.
 */
#ifndef WEIR_LLM_ENGINE_INTERNAL_H
#define WEIR_LLM_ENGINE_INTERNAL_H

#include "engine/llm/engine.h"

/* As weir_engine_open, with the back end given. ops must outlive the engine. */
weir_status_t weir_engine_open_with(const weir_engine_options_t *options,
                                    const weir_backend_ops_t *ops, weir_engine_t **out,
                                    weir_error_t *err);

#endif
