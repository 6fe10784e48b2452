/* Inside lua-free-filters/translate only: the tables of members and what becomes of them. */
#ifndef WEIR_FILTERS_TRANSLATE_FIELDS_H
#define WEIR_FILTERS_TRANSLATE_FIELDS_H

#include "lua-free-filters/translate/translate.h"

/* clang-format off */
#define MAP(name, note)    {(name), (note), WEIR_FATE_MAPPED}
#define NEAR(name, note)   {(name), (note), WEIR_FATE_APPROXIMATED}
#define IGNORE(name, note) {(name), (note), WEIR_FATE_IGNORED}
#define DROP(name, note)   {(name), (note), WEIR_FATE_DROPPED}
#define REFUSE(name, note) {(name), (note), WEIR_FATE_REFUSED}
/* clang-format on */

#define ROWS(array) (array), sizeof(array) / sizeof((array)[0])

/* One table: a NULL-ended list is not needed, n says how many. */
typedef struct {
    const weir_translate_object_t *const *objects;
    uint32_t n;
} weir_translate_list_t;

extern const weir_translate_list_t weir_messages_request_list;
extern const weir_translate_list_t weir_chat_request_list;
extern const weir_translate_list_t weir_responses_request_list;
extern const weir_translate_list_t weir_chat_answer_list;      /* for messages clients */
extern const weir_translate_list_t weir_messages_answer_list;  /* for chat clients */
extern const weir_translate_list_t weir_responses_answer_list; /* chat, for responses clients */

/* messages -> chat */
extern const weir_translate_object_t weir_m_request, weir_m_messages, weir_m_user, weir_m_assistant,
    weir_m_system, weir_m_content, weir_m_text, weir_m_image, weir_m_document, weir_m_search_result,
    weir_m_thinking, weir_m_tool_use, weir_m_tool_result, weir_m_image_source,
    weir_m_document_source, weir_m_tools, weir_m_tool, weir_m_tool_choice, weir_m_choice,
    weir_m_thinking_config, weir_m_metadata, weir_m_output_config, weir_m_format;

/* chat -> messages */
extern const weir_translate_object_t weir_c_request, weir_c_messages, weir_c_message,
    weir_c_assistant, weir_c_tool_message, weir_c_content, weir_c_text, weir_c_image,
    weir_c_image_url, weir_c_file_part, weir_c_file, weir_c_refusal, weir_c_tool_calls,
    weir_c_tool_call, weir_c_call_function, weir_c_tools, weir_c_tool, weir_c_function,
    weir_c_tool_choice, weir_c_named_choice, weir_c_allowed_choice, weir_c_response_format,
    weir_c_json_schema_format, weir_c_json_schema, weir_c_stream_options;

/* responses -> chat */
extern const weir_translate_object_t weir_r_request, weir_r_input, weir_r_message, weir_r_content,
    weir_r_text, weir_r_output_text, weir_r_refusal, weir_r_image, weir_r_file, weir_r_call,
    weir_r_call_output, weir_r_custom_call, weir_r_custom_output, weir_r_reasoning_item,
    weir_r_tools, weir_r_function, weir_r_custom, weir_r_tool_choice, weir_r_named_choice,
    weir_r_allowed_choice, weir_r_reasoning, weir_r_text_config, weir_r_format, weir_r_json_schema,
    weir_r_stream_options;

/* answers */
extern const weir_translate_object_t weir_ca_answer, weir_ca_choice, weir_ca_message, weir_ca_chunk,
    weir_ca_chunk_choice, weir_ca_delta;
extern const weir_translate_object_t weir_ma_answer, weir_ma_content, weir_ma_text,
    weir_ma_thinking, weir_ma_tool_use, weir_ma_events, weir_ma_delta;
extern const weir_translate_object_t weir_ra_answer, weir_ra_choice, weir_ra_message, weir_ra_chunk,
    weir_ra_chunk_choice, weir_ra_delta;

#endif
