/*
 * Which API call is this? Classifies a request line and a few headers, so that nothing reaches an
 * upstream under a name that the gateway does not know: the path is taken as the client wrote it,
 * split at its slashes and percent-decoded exactly once. A path of several slashes in a row, with a
 * trailing or encoded slash, dot segments, another case, bad percent-encoding or control
 * characters is never understood, because an upstream may read it as another path.
 */
#ifndef WEIR_FILTERS_ENDPOINT_H
#define WEIR_FILTERS_ENDPOINT_H

#include "engine/base/arena.h"
#include "lua-free-filters/filter.h"

/*
 * The calls whose bodies are read. All others are WEIR_ENDPOINT_OTHER and told apart by group only.
 * The numbers are part of interfaces: new ones are added at the end.
 */
typedef enum {
    WEIR_ENDPOINT_OTHER = 0,
    WEIR_ENDPOINT_CHAT,           /* POST chat/completions */
    WEIR_ENDPOINT_COMPLETIONS,    /* POST completions */
    WEIR_ENDPOINT_RESPONSES,      /* POST responses */
    WEIR_ENDPOINT_INPUT_TOKENS,   /* POST responses/input_tokens */
    WEIR_ENDPOINT_EMBEDDINGS,     /* POST embeddings */
    WEIR_ENDPOINT_MODERATIONS,    /* POST moderations */
    WEIR_ENDPOINT_RERANK,         /* POST rerank */
    WEIR_ENDPOINT_MESSAGES,       /* POST messages (Anthropic) */
    WEIR_ENDPOINT_COUNT_TOKENS,   /* POST messages/count_tokens (Anthropic) */
    WEIR_ENDPOINT_MODELS,         /* GET models */
    WEIR_ENDPOINT_MODEL,          /* GET models/{id} */
    WEIR_ENDPOINT_TOKENIZE,       /* POST tokenize */
    WEIR_ENDPOINT_DETOKENIZE,     /* POST detokenize */
    WEIR_ENDPOINT_APPLY_TEMPLATE, /* POST apply-template */
    WEIR_ENDPOINT_SCORE,          /* POST score */
    WEIR_ENDPOINT_CLASSIFY,       /* POST classify */
    WEIR_ENDPOINT_POOLING,        /* POST pooling */
    WEIR_ENDPOINT_GENERATE,       /* POST generate, generate_stream, infill, completion */
    WEIR_ENDPOINTS
} weir_endpoint_t;

/* Whose error envelope the caller reads. */
typedef enum { WEIR_DIALECT_OPENAI = 0, WEIR_DIALECT_ANTHROPIC } weir_dialect_t;

/*
 * A family of paths; weir_endpoint_group_name() gives the name that an operator allows it by.
 * CALLS, MODELS and ENGINE hold the understood endpoints.
 */
typedef enum {
    WEIR_GROUP_OTHER = 0, /* unknown paths, and all that is written in a way that is not plain */
    WEIR_GROUP_CALLS,
    WEIR_GROUP_MODELS,
    WEIR_GROUP_ENGINE,       /* tokenize, detokenize, apply-template, score, generate, ... */
    WEIR_GROUP_ENGINE_STATE, /* props, slots, lora, version, health, metrics, ... */
    WEIR_GROUP_STORED,       /* stored chats and responses: GET, DELETE, cancel, input_items */
    WEIR_GROUP_CONVERSATIONS,
    WEIR_GROUP_AUDIO,
    WEIR_GROUP_IMAGES,
    WEIR_GROUP_VIDEOS,
    WEIR_GROUP_FILES,
    WEIR_GROUP_UPLOADS,
    WEIR_GROUP_BATCHES,
    WEIR_GROUP_VECTOR_STORES,
    WEIR_GROUP_CONTAINERS,
    WEIR_GROUP_SKILLS,
    WEIR_GROUP_EVALS,
    WEIR_GROUP_FINE_TUNING,
    WEIR_GROUP_ASSISTANTS,
    WEIR_GROUP_REALTIME,
    WEIR_GROUP_AGENTS,
    WEIR_GROUP_SAFETY,
    WEIR_GROUP_WEBHOOKS,
    WEIR_GROUP_ADMINISTRATION, /* organization, projects, ... */
    WEIR_GROUPS
} weir_endpoint_group_t;

/* Why a request is not understood in full. */
typedef enum {
    WEIR_UNDERSTOOD = 0,
    WEIR_NOT_PATH,      /* a path that no API known here has, or that is not read yet */
    WEIR_NOT_PLAIN,     /* slashes, case, dots or encoding that an upstream may read otherwise */
    WEIR_NOT_METHOD,    /* a known path with a method that it does not take */
    WEIR_NOT_UPGRADE,   /* a WebSocket or another protocol */
    WEIR_NOT_MULTIPART, /* a form: the model and the text hide in its parts */
    WEIR_NOT_TYPE,      /* a body of another type than application/json */
    WEIR_NOT_ENCODING,  /* a compressed body */
    WEIR_NOT_CHARSET,   /* a body in another charset than UTF-8 */
    WEIR_NOT_EMPTY      /* a body where the call takes none */
} weir_endpoint_why_t;

/*
 * What is looked at. All are views, an absent header is {NULL, 0}. path is the request target as it
 * stands in the request line (for an absolute one: from the first slash behind the authority), with
 * or without its query. prefix is the operator's API prefix ("/llm"), without a trailing slash, or
 * empty: a path outside of it is not plain.
 */
typedef struct {
    weir_str_t method;
    weir_str_t path;
    weir_str_t prefix;
    weir_str_t content_type;
    weir_str_t content_encoding;
    bool anthropic_version; /* the header anthropic-version is there */
    bool upgrade;           /* the header Upgrade is there, or the method is CONNECT */
    bool has_body;
} weir_endpoint_request_t;

typedef struct {
    weir_endpoint_t endpoint;
    weir_endpoint_group_t group;
    weir_protocol_t protocol; /* of the answer that the client expects */
    weir_dialect_t dialect;
    weir_endpoint_why_t why;
    bool reads_body;   /* understood, and its body is JSON to be scanned */
    bool azure;        /* /openai/deployments/{model}/... */
    const char *allow; /* a known path's methods, as the header Allow names them; else NULL */
    weir_str_t
        suffix; /* view into path: behind the prefixes, without a leading slash or the query */
    weir_str_t model; /* named by the path (models/{id}, Azure), decoded; else empty */
} weir_endpoint_info_t;

/*
 * Fills *out. A decoded model is copied into room[0..room_size), 512 bytes are enough for all that
 * is understood. Never fails: what it does not know it says so. dialect is right for refusals too.
 */
void weir_endpoint_classify(const weir_endpoint_request_t *request, char *room, size_t room_size,
                            weir_endpoint_info_t *out);

/* "calls", "files", ...; constant. */
const char *weir_endpoint_group_name(weir_endpoint_group_t group);

/* The group of that name, or WEIR_GROUPS. */
weir_endpoint_group_t weir_endpoint_group_find(weir_str_t name);

/* "chat", "embeddings", ...; constant; "other". */
const char *weir_endpoint_name(weir_endpoint_t endpoint);

#endif
