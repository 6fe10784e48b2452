/* Secrets that no single service issues: tokens and keys of standards, and values given to names
 * that say what they are. */
#include "guardrails/secrets/secrets.h"

/* "password_field_name", "PasswordWidget": what is said about a password. */
#define NO_PASSWORD_                                                                            \
    "(?![a-z0-9]{0,2}_?(?:field|hint|label|widget|file|path|url|type|name|policy|length|input|" \
    "validat|hasher|reset|prompt|help|strength))"

const weir_guard_pattern_t weir_secrets_generic[] = {
    /* RFC 7519: the first two parts are JSON objects, whose base64url begins with eyJ */
    {.id = "json_web_token",
     .type = "SECRET",
     .keywords = {"eyj"},
     .expression = BH_ "eyJ" WORD_ "{10,1024}\\.eyJ" WORD_ "{8,2048}\\." WORD_ "{16,1400}" EH_,
     .after = 3900,
     .score = 0.95F,
     .stop_words = true,
     .check = weir_secret_is_jwt},
    /* RFC 7468, RFC 4880 and the formats of OpenSSH and PuTTY */
    {.id = "private_key",
     .type = "SECRET",
     .keywords = {"-----begin rsa private", "-----begin dsa private", "-----begin ec private",
                  "-----begin private", "-----begin openssh", "-----begin encrypted",
                  "-----begin pgp private", "-----begin any private"},
     .expression = "-----BEGIN (?:(?:RSA|DSA|EC|OPENSSH|ENCRYPTED|ANY) )?PRIVATE KEY-----|"
                   "-----BEGIN PGP PRIVATE KEY BLOCK-----",
     .score = 1.0F,
     .span = WEIR_GUARD_SPAN_BLOCK},
    /* RFC 7617 and RFC 6750, in the header itself */
    {.id = "authorization_header",
     .type = "SECRET",
     .keywords = {"authorization:", "authorization\":", "authorization':"},
     .expression =
         "(?i)authorization[\"']?:[ \\t]{0,4}[\"']?(?:basic|bearer|token|bot|ssws)[ \\t]{1,4}"
         "([A-Za-z0-9+/_.~-]{16,1024}={0,2})",
     .after = 1100,
     .score = 0.85F,
     .entropy = 3.0F,
     .stop_words = true,
     .check = weir_secret_is_mixed},
    {.id = "curl_user_password",
     .type = "SECRET",
     .keywords = {"curl "},
     .expression = "(?i)curl [^\\n]{0,120}?(?:-u|--user)[ =][\"']?[A-Za-z0-9._@-]{1,64}:"
                   "([^\\s\"'`]{6,128})",
     .after = 320,
     .score = 0.8F,
     .check = weir_secret_is_password},
    /* A name that ends in a word for secrets, an assignment, a random value. */
    {.id = "assigned_secret",
     .type = "SECRET",
     .keywords = {"secret", "token", "api_key", "apikey", "api-key", "access_key", "private_key",
                  "client_key", "auth_key"},
     .expression = "(?i)(?:secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?key|"
                   "auth[_-]?key)[A-Za-z0-9_]{0,16}[\"']?[ \\t]{0,3}(?::=|=>|=|:)[ \\t]{0,3}[\"'`]"
                   "([A-Za-z0-9+/_=.-]{20,160})[\"'`]",
     .after = 240,
     .score = 0.7F,
     .entropy = 3.0F,
     .stop_words = true,
     .check = weir_secret_is_random},
    /* The same without quotes, in headers, queries and configurations: only what looks random. */
    {.id = "assigned_value",
     .type = "SECRET",
     .keywords = {"secret", "token", "api_key", "apikey", "api-key", "access_key", "private_key",
                  "client_key", "auth_key", "sessionid=", "session_id="},
     .expression = "(?i)(?:secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?key|"
                   "auth[_-]?key|session_?id)[A-Za-z0-9_]{0,16}[\"']?[ \\t]{0,3}(?::=|=>|=|:)"
                   "[ \\t]{0,3}(?:(?:bearer|basic|token)[ \\t])?"
                   "([A-Za-z0-9+/_=.~-]{20,160}+)(?![A-Za-z0-9([{<$])",
     .after = 240,
     .score = 0.65F,
     .entropy = 3.0F,
     .stop_words = true,
     .check = weir_secret_is_random},
    {.id = "django_secret_key",
     .type = "SECRET",
     .keywords = {"django-insecure-"},
     .expression = "django-insecure-[^\\s\"'`]{20,90}",
     .score = 0.9F,
     .entropy = 3.0F},
    /* Docker's config.json */
    {.id = "docker_config_auth",
     .type = "SECRET",
     .keywords = {"\"auth\""},
     .expression = "\"auth\"\\s{0,2}:\\s{0,2}\"([A-Za-z0-9+/]{8,400}={0,2})\"",
     .after = 440,
     .score = 0.9F,
     .check = weir_secret_is_basic},
    /* Kubernetes' kubeconfig: a key in PEM, in base64 */
    {.id = "kubeconfig_client_key",
     .type = "SECRET",
     .keywords = {"client-key-data"},
     .expression = "client-key-data[\"']?:\\s{0,3}[\"']?([A-Za-z0-9+/]{64,3900}={0,2})",
     .after = 4000,
     .score = 0.95F,
     .entropy = 3.5F},
    {.id = "wireguard_key",
     .type = "SECRET",
     .keywords = {"privatekey", "presharedkey"},
     .expression = "(?i)(?:private|preshared)key[ \\t]{0,3}=[ \\t]{0,3}"
                   "(?-i:([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=))",
     .score = 0.9F,
     .entropy = 3.5F},
    /* Key Uri Format of authenticator programs */
    {.id = "totp_secret",
     .type = "SECRET",
     .keywords = {"otpauth://"},
     .expression = "otpauth://[^\\s\"'<>]{1,160}?[?&]secret=([A-Za-z2-7]{16,128})(?![A-Za-z2-7])",
     .after = 320,
     .score = 0.99F,
     .entropy = 2.5F},
    {.id = "assigned_environment_secret",
     .type = "SECRET",
     .keywords = {"_secret=", "_token=", "_api_key=", "_apikey=", "_key=", "_access_key="},
     .expression = "(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]{2,40}_(?:SECRET|TOKEN|API_?KEY|KEY|ACCESS_KEY)="
                   "([A-Za-z0-9+/_.-]{20,160}={0,2})(?![A-Za-z0-9+/_=.-])",
     .before = 64,
     .after = 240,
     .score = 0.7F,
     .entropy = 3.6F,
     .stop_words = true,
     .check = weir_secret_is_mixed},
    {.id = "assigned_password",
     .type = "SECRET",
     .keywords = {"password", "passwd", "passphrase", "_pass", "pwd"},
     .expression = "(?i)(?:password|passwd|passphrase|_pass(?![b-vx-z])|pwd)" NO_PASSWORD_
                   "[A-Za-z0-9_]{0,12}[\"']?[ \\t]{0,3}"
                   "(?::=|=>|=|:)[ \\t]{0,3}[\"'`](?![)\\]},;:][,;.?&|)}\\]:])"
                   "([^\\s\"'`]{8,96})[\"'`]",
     .after = 160,
     .score = 0.7F,
     .stop_words = true,
     .check = weir_secret_is_password},
    {.id = "password_value",
     .type = "SECRET",
     .keywords = {"password", "passwd", "passphrase", "_pass", "pwd"},
     .expression = "(?i)(?:password|passwd|passphrase|_pass(?![b-vx-z])|pwd)" NO_PASSWORD_
                   "[A-Za-z0-9_]{0,12}[\"']?[ \\t]{0,3}"
                   "(?:(?::=|=>|=|:)[ \\t]{0,3}|is[ \\t])"
                   "([^\\s\"'`&;,<>(){}\\[\\]|]{8,96}+)(?![(\\[{<])",
     .after = 160,
     .score = 0.65F,
     .entropy = 2.5F,
     .stop_words = true,
     .check = weir_secret_is_strong},
    {.id = "command_line_password",
     .type = "SECRET",
     .keywords = {"sshpass ", "mysql ", "mysqldump ", "mysqladmin "},
     .expression = "(?|\\bsshpass -p ?[\"']?([^\\s\"']{6,96})|"
                   "\\bmysql(?:dump|admin)? [^\\n|;]{0,80}?-p([^\\s\"'-][^\\s\"']{5,95}))",
     .score = 0.8F,
     .check = weir_secret_is_password},
    {.id = "netrc_password",
     .type = "SECRET",
     .keywords = {"machine "},
     .expression = "\\bmachine [A-Za-z0-9.-]{3,80}[ \\t]{1,4}login [^\\s]{1,64}[ \\t]{1,4}password "
                   "([^\\s]{4,96})",
     .after = 320,
     .score = 0.9F,
     .check = weir_secret_is_password},
    {.id = "htpasswd_hash",
     .type = "SECRET",
     .keywords = {"$apr1$", "$2y$", "$2a$", "$2b$"},
     .expression = "\\$apr1\\$[./0-9A-Za-z]{8}\\$[./0-9A-Za-z]{22}|"
                   "\\$2[aby]\\$\\d\\d\\$[./0-9A-Za-z]{53}",
     .score = 0.9F},
    {.id = "crypt_hash",
     .type = "SECRET",
     .keywords = {"$5$", "$6$", "$y$", "$argon2"},
     .expression = "\\$[56]\\$(?:rounds=\\d{4,9}\\$)?[./0-9A-Za-z]{1,16}\\$[./0-9A-Za-z]{43,86}|"
                   "\\$y\\$[./0-9A-Za-z]{2,8}\\$[./0-9A-Za-z]{1,86}\\$[./0-9A-Za-z]{43}|"
                   "\\$argon2(?:id|i|d)\\$v=\\d\\d\\$m=\\d+,t=\\d+,p=\\d+\\$[A-Za-z0-9+/]{11,64}\\$"
                   "[A-Za-z0-9+/]{22,86}",
     .after = 260,
     .score = 0.9F},
    {.id = "putty_private_key",
     .type = "SECRET",
     .keywords = {"putty-user-key-file-"},
     .expression = "PuTTY-User-Key-File-[23]: [a-z0-9-]{7,40}",
     .score = 1.0F},
};

const size_t weir_secrets_generic_count =
    sizeof weir_secrets_generic / sizeof *weir_secrets_generic;
