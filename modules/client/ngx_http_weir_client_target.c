
/*
 * Weir: what calls are made to and how: parsed and checked while the
 * configuration is read.
 */


#include "ngx_http_weir_client_module.h"


static ngx_int_t ngx_http_weir_client_copy(ngx_conf_t *cf, ngx_str_t *dst,
    const ngx_str_t *src);
static ngx_int_t ngx_http_weir_client_init_profile(ngx_conf_t *cf,
    ngx_http_weir_client_profile_t *profile);
static ngx_int_t ngx_http_weir_client_trust(ngx_conf_t *cf,
    ngx_http_weir_client_profile_t *profile);
static ngx_int_t ngx_http_weir_client_resolve_target(ngx_conf_t *cf,
    ngx_http_weir_client_target_t *target);


ngx_http_weir_client_profile_t *
ngx_http_weir_client_profile(ngx_conf_t *cf,
    const ngx_http_weir_client_options_t *options)
{
    ngx_http_weir_client_profile_t    *profile, **slot;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_client_module);

    profile = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_client_profile_t));
    if (profile == NULL) {
        return NULL;
    }

    profile->options = *options;

    if (ngx_http_weir_client_copy(cf, &profile->options.ca_file,
                                  &options->ca_file)
        != NGX_OK
        || ngx_http_weir_client_copy(cf, &profile->options.certificate,
                                     &options->certificate)
           != NGX_OK
        || ngx_http_weir_client_copy(cf, &profile->options.certificate_key,
                                     &options->certificate_key)
           != NGX_OK
        || ngx_http_weir_client_copy(cf, &profile->options.server_name,
                                     &options->server_name)
           != NGX_OK)
    {
        return NULL;
    }

    if (wmcf->profiled) {
        return ngx_http_weir_client_init_profile(cf, profile) == NGX_OK
               ? profile : NULL;
    }

    /* what it does not say itself may stand further down in the file */

    slot = ngx_array_push(&wmcf->profiles);
    if (slot == NULL) {
        return NULL;
    }

    *slot = profile;

    return profile;
}


/* with a NUL behind it */

static ngx_int_t
ngx_http_weir_client_copy(ngx_conf_t *cf, ngx_str_t *dst, const ngx_str_t *src)
{
    dst->len = src->len;

    if (src->len == 0) {
        dst->data = NULL;
        return NGX_OK;
    }

    dst->data = ngx_pnalloc(cf->pool, src->len + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(dst->data, src->data, src->len + 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_client_init_profiles(ngx_conf_t *cf,
    ngx_http_weir_client_main_conf_t *wmcf)
{
    ngx_uint_t                        i;
    ngx_http_weir_client_profile_t  **profile;

    wmcf->profiled = 1;

    if (ngx_http_weir_client_init_profile(cf, &wmcf->profile) != NGX_OK) {
        return NGX_ERROR;
    }

    profile = wmcf->profiles.elts;

    for (i = 0; i < wmcf->profiles.nelts; i++) {
        if (ngx_http_weir_client_init_profile(cf, profile[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_client_init_profile(ngx_conf_t *cf,
    ngx_http_weir_client_profile_t *profile)
{
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_client_options_t    *o, *common;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_client_module);

    o = &profile->options;
    common = &wmcf->profile.options;

    if (o->certificate.len == 0 && o->certificate_key.len == 0) {
        o->certificate = common->certificate;
        o->certificate_key = common->certificate_key;
    }

    if (o->ca_file.len == 0) {
        o->no_verify |= common->no_verify;
        o->ca_file = common->ca_file;
    }

    if ((o->certificate.len == 0) != (o->certificate_key.len == 0)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "a client certificate for outgoing calls needs both "
                      "its file and its key's file");
        return NGX_ERROR;
    }

    profile->ssl.log = cf->log;

    if (ngx_ssl_create(&profile->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&profile->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &profile->ssl;

    if (o->certificate.len
        && ngx_ssl_certificate(cf, &profile->ssl, &o->certificate,
                               &o->certificate_key, NULL)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (o->no_verify) {
        return NGX_OK;
    }

    return ngx_http_weir_client_trust(cf, profile);
}


static ngx_int_t
ngx_http_weir_client_trust(ngx_conf_t *cf,
    ngx_http_weir_client_profile_t *profile)
{
    ngx_str_t  *ca_file;

    ca_file = &profile->options.ca_file;

    if (ca_file->len) {

        if (ngx_ssl_trusted_certificate(cf, &profile->ssl, ca_file, 5)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (SSL_CTX_set_default_verify_paths(profile->ssl.ctx) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed: set "
                      "\"weir_client_ca_file\"");
        return NGX_ERROR;
    }

    /*
     * The result is looked at after the handshake, before a byte is sent: a
     * handshake that OpenSSL ends itself says less about the reason.
     */

    SSL_CTX_set_verify_depth(profile->ssl.ctx, 5);

    return NGX_OK;
}


ngx_http_weir_client_target_t *
ngx_http_weir_client_parse(ngx_conf_t *cf, ngx_str_t *url,
    ngx_http_weir_client_profile_t *profile)
{
    ngx_int_t                           n;
    weir_error_t                        err;
    ngx_http_weir_client_target_t      *target, **slot;
    ngx_http_weir_client_main_conf_t   *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_client_module);

    target = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_client_target_t));
    if (target == NULL) {
        return NULL;
    }

    if (ngx_http_weir_client_copy(cf, &target->url, url) != NGX_OK) {
        return NULL;
    }

    if (weir_http_url_parse(weir_str((char *) target->url.data,
                                     target->url.len),
                            &target->parsed, &err)
        != WEIR_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\": %s",
                           url, err.message);
        return NULL;
    }

    n = ngx_http_weir_client_literal(cf->pool, &target->parsed,
                                     &target->addrs);
    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid address in URL \"%V\"", url);
        return NULL;
    }

    target->naddrs = n;
    target->wmcf = wmcf;
    target->profile = profile ? profile : &wmcf->profile;

    if (cf->conf_file) {
        target->conf_file = cf->conf_file->file.name;
        target->conf_line = cf->conf_file->line;
    }

    slot = ngx_array_push(&wmcf->targets);
    if (slot == NULL) {
        return NULL;
    }

    *slot = target;

    if (wmcf->resolved && wmcf->resolver == NULL && target->naddrs == 0
        && ngx_http_weir_client_resolve_target(cf, target) != NGX_OK)
    {
        return NULL;
    }

    return target;
}


/* the number of addresses that need no resolver: 1, or 0 for a name */

ngx_int_t
ngx_http_weir_client_literal(ngx_pool_t *pool, weir_http_url_t *url,
    ngx_addr_t **addrs)
{
    u_char          *host;
    in_addr_t        inaddr;
    ngx_addr_t      *addr;
    ngx_sockaddr_t  *sa;
#if (NGX_HAVE_INET6)
    struct in6_addr  inaddr6;
#endif

    host = (u_char *) url->host.data;
    inaddr = INADDR_NONE;

    if (url->socket.len == 0 && !url->ipv6) {
        inaddr = ngx_inet_addr(host, url->host.len);

        /* 255.255.255.255 is nobody's address, either */

        if (inaddr == INADDR_NONE) {
            return 0;
        }
    }

    addr = ngx_pcalloc(pool, sizeof(ngx_addr_t));
    sa = ngx_pcalloc(pool, sizeof(ngx_sockaddr_t));

    if (addr == NULL || sa == NULL) {
        return NGX_ERROR;
    }

    addr->sockaddr = &sa->sockaddr;

    if (url->socket.len) {
        sa->sockaddr_un.sun_family = AF_UNIX;
        ngx_memcpy(sa->sockaddr_un.sun_path, url->socket.data,
                   url->socket.len);
        addr->socklen = sizeof(struct sockaddr_un);
        addr->name.data = (u_char *) url->socket.data;
        addr->name.len = url->socket.len;

    } else if (url->ipv6) {

#if (NGX_HAVE_INET6)
        if (ngx_inet6_addr(host, url->host.len, inaddr6.s6_addr) != NGX_OK) {
            return NGX_ERROR;
        }

        sa->sockaddr_in6.sin6_family = AF_INET6;
        sa->sockaddr_in6.sin6_addr = inaddr6;
        sa->sockaddr_in6.sin6_port = htons(url->port);
        addr->socklen = sizeof(struct sockaddr_in6);
#else
        return NGX_ERROR;
#endif

    } else {
        sa->sockaddr_in.sin_family = AF_INET;
        sa->sockaddr_in.sin_addr.s_addr = inaddr;
        sa->sockaddr_in.sin_port = htons(url->port);
        addr->socklen = sizeof(struct sockaddr_in);
    }

    if (addr->name.len == 0) {
        addr->name.data = host;
        addr->name.len = url->host.len;
    }

    *addrs = addr;

    return 1;
}


/* without a resolver names are resolved now, once, as proxy_pass does */

ngx_int_t
ngx_http_weir_client_resolve_targets(ngx_conf_t *cf,
    ngx_http_weir_client_main_conf_t *wmcf)
{
    ngx_uint_t                       i;
    ngx_http_weir_client_target_t  **target;

    wmcf->resolved = 1;

    if (wmcf->resolver) {
        return NGX_OK;
    }

    target = wmcf->targets.elts;

    for (i = 0; i < wmcf->targets.nelts; i++) {

        if (target[i]->naddrs) {
            continue;
        }

        if (ngx_http_weir_client_resolve_target(cf, target[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_client_resolve_target(ngx_conf_t *cf,
    ngx_http_weir_client_target_t *target)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.host.data = (u_char *) target->parsed.host.data;
    u.host.len = target->parsed.host.len;
    u.port = target->parsed.port;
    u.default_port = u.port;
#if (nginx_version >= 1017003)
    u.last_port = u.port;
#endif
    u.url = u.host;

    if (ngx_inet_resolve_host(cf->pool, &u) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in \"%V\" in %V:%ui: check the name, or set "
                      "\"weir_client_resolver\" so that it is resolved when "
                      "it is needed",
                      u.err ? u.err : "host not found", &target->url,
                      &target->conf_file, target->conf_line);
        return NGX_ERROR;
    }

    target->addrs = u.addrs;
    target->naddrs = u.naddrs;

    return NGX_OK;
}


/* may a URL that came from data lead here? */

ngx_uint_t
ngx_http_weir_client_is_allowed(ngx_http_weir_client_main_conf_t *wmcf,
    struct sockaddr *sockaddr)
{
    size_t                len;
    uint8_t              *address;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sockaddr;
        address = (uint8_t *) &sin->sin_addr;
        len = 4;
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sockaddr;
        address = (uint8_t *) &sin6->sin6_addr;
        len = 16;
        break;
#endif

    default:
        return 0;
    }

    if (weir_address_is_public(address, len)) {
        return 1;
    }

    return wmcf->allow
           && ngx_cidr_match(sockaddr, wmcf->allow) == NGX_OK;
}
