/* Model providers and the tools around them. */
#include "guardrails/secrets/secrets.h"

const weir_guard_pattern_t weir_secrets_ai[] = {
    /* OpenAI: user keys until 2024 hold base64 of "OpenAI"; project, service and admin keys since
     */
    TOKEN_("openai_api_key", BH_ "sk-" ALNUM_ "{20}T3BlbkFJ" ALNUM_ "{20}" EH_, "t3blbkfj"),
    LONG_("openai_project_key", 220, BH_ "sk-(?:proj|svcacct|admin|None)-" WORD_ "{40,180}" EH_,
          "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-none-"),
    /* Anthropic */
    LONG_("anthropic_api_key", 140, BH_ "sk-ant-api\\d\\d-" WORD_ "{80,120}" EH_, "sk-ant-api"),
    LONG_("anthropic_admin_key", 140, BH_ "sk-ant-admin\\d\\d-" WORD_ "{80,120}" EH_,
          "sk-ant-admin"),
    LONG_("anthropic_oauth_token", 140, BH_ "sk-ant-o[ar]t\\d\\d-" WORD_ "{80,120}" EH_,
          "sk-ant-oat", "sk-ant-ort"),
    /* Hugging Face: user and organisation tokens */
    RANDOM_("huggingface_token", 2.7F, B_ "hf_" ALNUM_ "{34}" E_, "hf_"),
    RANDOM_("huggingface_organisation_token", 2.7F, B_ "api_org_[A-Za-z]{34}" E_, "api_org_"),
    TOKEN_("groq_api_key", B_ "gsk_" ALNUM_ "{52}" E_, "gsk_"),
    TOKEN_("replicate_api_token", B_ "r8_" ALNUM_ "{37}" E_, "r8_"),
    TOKEN_("perplexity_api_key", B_ "pplx-" ALNUM_ "{48}" E_, "pplx-"),
    TOKEN_("xai_api_key", B_ "xai-" ALNUM_ "{80}" E_, "xai-"),
    NAMED_("fal_api_key", 2.7F, "\\bfal(?:_ai)?", UUID_ ":" HEX_ "{32}", "fal_", "fal.ai", "fal-",
           "fal key"),
    RANDOM_("fireworks_api_key", 2.7F, B_ "fw_" ALNUM_ "{24}" E_, "fw_"),
    TOKEN_("openrouter_api_key", BH_ "sk-or-v1-" HEX_ "{64}" E_, "sk-or-v1-"),
    TOKEN_("nvidia_api_key", B_ "nvapi-" WORD_ "{64}" EH_, "nvapi-"),
    TOKEN_("langsmith_api_key", B_ "lsv2_(?:pt|sk)_" HEX_ "{32}_" HEX_ "{10}" E_, "lsv2_"),
    TOKEN_("langfuse_secret_key", BH_ "sk-lf-" UUID_ E_, "sk-lf-"),
    TOKEN_("pinecone_api_key", B_ "pcsk_" ALNUM_ "{5,8}_" ALNUM_ "{50,70}" E_, "pcsk_"),
    RANDOM_("elevenlabs_api_key", 2.7F, B_ "sk_" HEX_ "{48}" E_, "sk_"),
    TOKEN_("tavily_api_key", B_ "tvly-(?:dev-|prod-)?" ALNUM_ "{32}" E_, "tvly-"),
    RANDOM_("cerebras_api_key", 2.7F, B_ "csk-[a-z0-9]{48}" E_, "csk-"),
    NAMED_("voyage_api_key", 2.7F, "voyage", "pa-" WORD_ "{43}", "voyage"),
    NAMED_("deepseek_api_key", 2.7F, "deepseek", "sk-" HEX_ "{32}", "deepseek"),
    NAMED_("cohere_api_key", 3.5F, "cohere", ALNUM_ "{40}", "cohere"),
    NAMED_("mistral_api_key", 3.5F, "mistral", ALNUM_ "{32}", "mistral"),
    /* the form of OpenAI's first keys and of others'; a service's name beside it says more */
    {.id = "sk_key",
     .type = "SECRET",
     .keywords = {"sk-"},
     .expression = BH_ "sk-(?:" ALNUM_ "{48}|" HEX_ "{32})" EH_,
     .score = 0.8F,
     .entropy = 2.7F,
     .stop_words = true},
    TOKEN_("together_key", BH_ "tgp_v1_" WORD_ "{43}" EH_, "tgp_v1_"),
    TOKEN_("llamacloud_api_key", BH_ "llx-" WORD_ "{48}" EH_, "llx-"),
    NAMED_("together_api_key", 2.7F, "together", HEX_ "{64}", "together"),
    NAMED_("wandb_api_key", 2.7F, "(?:wandb|weights[_ -]and[_ -]biases)", HEX_ "{40}", "wandb",
           "biases"),
    NAMED_("stability_api_key", 3.5F, "stability", "sk-" ALNUM_ "{48}", "stability"),
    NAMED_("assemblyai_api_key", 2.7F, "assembly[_-]?ai", HEX_ "{32}", "assembly"),
    NAMED_("deepgram_api_key", 2.7F, "deepgram", HEX_ "{40}", "deepgram"),
    NAMED_("clarifai_api_key", 2.7F, "clarifai", HEX_ "{32}", "clarifai"),
    NAMED_("kaggle_api_key", 2.7F, "kaggle", HEX_ "{32}", "kaggle"),
    /* this gateway's own */
    TOKEN_("weir_api_key", B_ "wk_[0-9a-z]{12}_" WORD_ "{43}" EH_, "wk_"),
};

const size_t weir_secrets_ai_count = sizeof weir_secrets_ai / sizeof *weir_secrets_ai;
