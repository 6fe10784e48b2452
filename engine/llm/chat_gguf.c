#include "engine/llm/chat.h"

weir_status_t weir_chat_template_from_gguf(const weir_gguf_t *gguf, const weir_tokenizer_t *tok,
                                           weir_chat_template_t **out, weir_error_t *err)
{
    weir_str_t source;
    if (weir_gguf_str(gguf, "tokenizer.chat_template", &source) != WEIR_OK) {
        return weir_error(err, WEIR_ERR_NOT_FOUND,
                          "the model file has no chat template (tokenizer.chat_template)");
    }
    return weir_chat_template_open(source, weir_tokenizer_token_bytes(tok, weir_tokenizer_bos(tok)),
                                   weir_tokenizer_token_bytes(tok, weir_tokenizer_eos(tok)), out,
                                   err);
}
