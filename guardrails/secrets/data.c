/* Data stores, analytics and the tools around them. */
#include "guardrails/secrets/secrets.h"

const weir_guard_pattern_t weir_secrets_data[] = {
    TOKEN_("databricks_token", B_ "dapi" HEX_ "{32}(?:-\\d)?" E_, "dapi"),
    /* A password is no value that could be looked for first: its name and assignment are. */
    {.id = "snowflake_password",
     .type = "SECRET",
     .keywords = {"snowflake"},
     .expression =
         "(?i)snowflake[A-Za-z0-9_]{0,12}pass(?:word)?[A-Za-z0-9_ .-]{0,24}?[\"'`]?[ \\t]{0,4}"
         "(?::=|=>|->|==?|:|,|\\bis\\b)[ \\t]{0,4}[\"'`]?"
         "([^\\s\"'`;,]{8,64})(?![A-Za-z0-9_/+-])",
     .score = 0.85F,
     .entropy = 2.5F,
     .stop_words = true},
    TOKEN_("planetscale_password", BH_ "pscale_pw_[A-Za-z0-9=._-]{32,64}", "pscale_pw_"),
    TOKEN_("planetscale_token", BH_ "pscale_tkn_[A-Za-z0-9=._-]{32,64}", "pscale_tkn_"),
    TOKEN_("planetscale_oauth_token", BH_ "pscale_oauth_[A-Za-z0-9=._-]{32,64}", "pscale_oauth_"),
    TOKEN_("supabase_token", B_ "sbp_" HEX_ "{40}" E_, "sbp_"),
    TOKEN_("supabase_secret_key", B_ "sb_secret_" WORD_ "{22}_" WORD_ "{8}" EH_, "sb_secret_"),
    TOKEN_("neon_api_key", B_ "napi_[a-z0-9]{64}" E_, "napi_"),
    TOKEN_("aiven_password", BH_ "AVNS_" WORD_ "{19}" EH_, "avns_"),
    TOKEN_("cockroach_api_key", B_ "CCDB1_" ALNUM_ "{22}_" ALNUM_ "{40}" E_, "ccdb1_"),
    TOKEN_("clickhouse_cloud_secret", B_ "4b1d" ALNUM_ "{38}" E_, "4b1d"),
    NAMED_("influxdb_token", 3.5F, "influx(?:db)?", WORD_ "{86}==", "influx"),
    NAMED_("confluent_secret", 3.5F, "confluent", BASE64_ "{64}", "confluent"),
    NAMED_("upstash_token", 3.5F, "upstash", "[A-Za-z0-9]{50,60}={0,2}", "upstash"),
    NAMED_("algolia_api_key", 2.7F, "algolia", HEX_ "{32}", "algolia"),
    NAMED_("elastic_api_key", 3.5F, "(?:elastic|elasticsearch)[_ -]?api",
           BASE64_ "{58}==", "elastic"),
    LONG_("tinybird_token", 300, BH_ "p\\.eyJ" WORD_ "{20,120}\\." WORD_ "{43}" EH_, "p.eyj"),
    TOKEN_("dbt_cloud_token", B_ "dbt[cu]_" WORD_ "{38,52}=?", "dbtc_", "dbtu_"),
    NAMED_("fivetran_secret", 3.5F, "fivetran", ALNUM_ "{32}", "fivetran"),
    NAMED_("segment_write_key", 3.5F, "segment[_ -]?(?:write|api)", ALNUM_ "{32}", "segment"),
    LONG_("segment_public_api_token", 100, B_ "sgp_" ALNUM_ "{64}" E_, "sgp_"),
    NAMED_("amplitude_secret", 2.7F, "amplitude", HEX_ "{32}", "amplitude"),
    NAMED_("mixpanel_secret", 2.7F, "mixpanel", HEX_ "{32}", "mixpanel"),
    TOKEN_("posthog_api_key", B_ "ph[sx]_" ALNUM_ "{40,48}" E_, "phx_", "phs_"),
    NAMED_("looker_secret", 3.5F, "looker", ALNUM_ "{24}", "looker"),
    LONG_("airtable_pat", 100, B_ "pat" ALNUM_ "{14}\\." HEX_ "{64}" E_, "pat"),
    NAMED_("airtable_api_key", 2.7F, "airtable", "key" ALNUM_ "{14}", "airtable"),
    LONG_("mapbox_secret_token", 160, BH_ "sk\\.eyJ" WORD_ "{60,100}\\." WORD_ "{22}" EH_,
          "sk.eyj"),
    LATE_("maxmind_licence_key", 40, B_ ALNUM_ "{6}_" ALNUM_ "{29}_mmk" E_, "_mmk"),
    LONG_("contentful_token", 80, BH_ "CFPAT-" WORD_ "{43}" EH_, "cfpat-"),
    TOKEN_("settlemint_token", B_ "sm_(?:aat|pat|sat)_" ALNUM_ "{16}" E_, "sm_aat_", "sm_pat_",
           "sm_sat_"),
    /* A connection string's password: the user and host stay readable. */
    {.id = "database_url_password",
     .type = "SECRET",
     .keywords = {"postgres", "mysql:", "mariadb:", "mongodb", "redis", "amqp",
                  "mssql:", "clickhouse:"},
     .expression = "(?i)\\b(?:postgres(?:ql)?(?:\\+[a-z0-9]{2,12})?|mysql(?:\\+[a-z0-9]{2,12})?|"
                   "mariadb|mongodb(?:\\+srv)?|rediss?|amqps?|mssql(?:\\+[a-z0-9]{2,12})?|"
                   "clickhouse)://[^\\s:@/\"'`<>]{0,64}:([^\\s@/\"'`<>]{3,128})@[A-Za-z0-9\\[._-]",
     .after = 300,
     .score = 0.99F, /* above the URL around it */

     .check = weir_secret_is_password},
    {.id = "connection_string_password",
     .type = "SECRET",
     .keywords = {"password=", "pwd="},
     .expression =
         "(?i)(?:server|host|data source|uid|user id|user|initial catalog|database)=[^;\\s]"
         "[^;\\n]{0,80};(?:[a-z ]{2,24}=[^;\\n]{0,80};){0,4}\\s?(?:password|pwd)="
         "([^;\\s\"'`]{3,128})",
     .before = 128,
     .after = 160,
     .score = 0.9F,
     .check = weir_secret_is_password},
};

const size_t weir_secrets_data_count = sizeof weir_secrets_data / sizeof *weir_secrets_data;
