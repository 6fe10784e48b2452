/* Prices: lookup by target, name and time; exact costs; refused documents. */
#include "policies/prices.h"

#include <stdio.h>

#include "policies/timestamp.h"
#include "t/support/tap.h"

static weir_arena_t arena;

static weir_prices_t *load(const char *text, weir_error_t *err)
{
    char copy[4096];
    weir_prices_t *prices = NULL;
    size_t n = strlen(text);

    for (size_t i = 0; i <= n && n < sizeof(copy); i++) {
        copy[i] = text[i] == '\'' ? '"' : text[i];
    }
    *err = (weir_error_t){0};
    weir_status_t rc = weir_prices_parse(copy, n, "doc", &arena, &prices, err);
    return rc == WEIR_OK ? prices : NULL;
}

static int64_t at(const char *time)
{
    int64_t ms = 0;
    weir_timestamp_parse(weir_str(time, strlen(time)), &ms);
    return ms / 1000;
}

static long long found(const weir_prices_t *p, const char *target, const char *model,
                       const char *time)
{
    const weir_price_t *price = weir_prices_find(p, weir_str(target, strlen(target)),
                                                 weir_str(model, strlen(model)), at(time));
    return price == NULL ? -1 : (long long)price->index;
}

static void test_lookup(void)
{
    static const char text[] =
        "{'version':1,'currency':'USD','prices':["
        "{'target':'a','models':['m-*'],'prompt':1,'completion':1},"
        "{'target':'a','models':['m-1'],'to':'2030-01-01','prompt':1,'completion':1},"
        "{'target':'a','models':['m-1'],'from':'2030-06-01','prompt':1,'completion':1},"
        "{'models':['m-1','z'],'prompt':1,'completion':1},"
        "{'models':['z*'],'from':'2031-01-01','prompt':1,'completion':1},"
        "{'models':['*'],'to':'2031-01-01','prompt':1,'completion':1},"
        "{'target':'b','models':['q'],'prompt':1,'completion':1}]}";
    weir_error_t err;
    const weir_prices_t *p = load(text, &err);

    ok(p != NULL, "prices load: %s", err.message);
    is_int(found(p, "a", "m-1", "2029-12-31T23:59:59Z"), 1,
           "the exact name, a second before its end");
    is_int(found(p, "a", "m-1", "2030-01-01"), 0, "between two periods the pattern of the target");
    is_int(found(p, "a", "m-1", "2030-06-01"), 2, "the next period from its first second");
    is_int(found(p, "a", "m-2", "2030-01-01"), 0, "a pattern of the target");
    is_int(found(p, "a", "z", "2030-01-01"), 3, "what the target does not price, any target does");
    is_int(found(p, "", "m-1", "2030-01-01"), 3, "without a target");
    is_int(found(p, "c", "m-2", "2030-01-01"), 5, "a target without prices of its own");
    is_int(found(p, "c", "zz", "2030-01-01"), 5, "a period that has not begun is passed over");
    is_int(found(p, "c", "zz", "2031-01-01"), 4, "and found when it has");
    is_int(found(p, "c", "m-2", "2031-01-01"), -1, "an unknown price is none");
    is_int(found(p, "b", "q", "2031-01-01"), 6, "another target");
}

static weir_price_t only(const char *members)
{
    char text[512];
    weir_error_t err;
    snprintf(text, sizeof(text), "{'version':1,'prices':[{'models':['m'],%s}]}", members);
    const weir_prices_t *p = load(text, &err);
    if (p == NULL) {
        diag("message: %s", err.message);
        return (weir_price_t){0};
    }
    return *weir_prices_find(p, WEIR_STR(""), WEIR_STR("m"), 0);
}

static void test_cost(void)
{
    weir_price_t p = only("'prompt':3000000000,'cached':300000000,'completion':15000000000");
    uint64_t units[WEIR_PRICE_CLASSES] = {[WEIR_PRICE_PROMPT] = 1000,
                                          [WEIR_PRICE_CACHED] = 500,
                                          [WEIR_PRICE_COMPLETION] = 200,
                                          [WEIR_PRICE_REASONING] = 100};
    int64_t nano;

    is_int(weir_price_cost(&p, units, &nano), WEIR_OK, "a cost is known");
    is_int(nano, 1000 * 3000 + 500 * 300 + 300 * 15000,
           "in whole nano-dollars, reasoning at the price of completion");
    units[WEIR_PRICE_CACHE_WRITE] = 1;
    is_int(weir_price_cost(&p, units, &nano), WEIR_ERR_NOT_FOUND,
           "a class without a price is an error, not zero");

    p = only("'prompt':1,'completion':999999,'request':2500000");
    uint64_t one[WEIR_PRICE_CLASSES] = {[WEIR_PRICE_PROMPT] = 1};
    weir_price_cost(&p, one, &nano);
    is_int(nano, 1, "a millionth of a nano-dollar is rounded up");
    uint64_t both[WEIR_PRICE_CLASSES] = {[WEIR_PRICE_PROMPT] = 1, [WEIR_PRICE_COMPLETION] = 1};
    weir_price_cost(&p, both, &nano);
    is_int(nano, 1, "once for the sum, not once for each class");
    uint64_t request[WEIR_PRICE_CLASSES] = {[WEIR_PRICE_REQUEST] = 2};
    weir_price_cost(&p, request, &nano);
    is_int(nano, 5, "requests");
    uint64_t none[WEIR_PRICE_CLASSES] = {0};
    is_int(weir_price_cost(&p, none, &nano) == WEIR_OK ? nano : -1, 0, "nothing costs nothing");

    p = only("'prompt':100000000000000000,'completion':100000000000000000");
    uint64_t many[WEIR_PRICE_CLASSES] = {[WEIR_PRICE_PROMPT] = 92233720};
    is_int(weir_price_cost(&p, many, &nano), WEIR_OK, "just below the largest amount");
    is_int(nano, 9223372000000000000, "and exact");
    many[WEIR_PRICE_PROMPT] = UINT64_MAX;
    many[WEIR_PRICE_COMPLETION] = UINT64_MAX;
    is_int(weir_price_cost(&p, many, &nano), WEIR_ERR_LIMIT, "above it is an error");
}

static void test_dearest(void)
{
    weir_error_t err;
    weir_price_t top;
    const weir_prices_t *p =
        load("{'version':1,'prices':[{'models':['a'],'prompt':5,'completion':1},"
             "{'models':['b'],'prompt':2,'completion':9,'cache_write':4},"
             "{'models':['c'],'to':'2000-01-01','prompt':100,'completion':100}]}",
             &err);
    weir_prices_dearest(p, at("2030-01-01"), &top);
    ok(top.per_million[WEIR_PRICE_PROMPT] == 5 && top.per_million[WEIR_PRICE_COMPLETION] == 9 &&
           top.per_million[WEIR_PRICE_CACHE_WRITE] == 4 &&
           top.per_million[WEIR_PRICE_CACHE_WRITE_1H] == -1,
       "the dearest of each class that is in force");
}

static const struct {
    const char *prices;
    const char *says;
} refused[] = {
    {"[{'models':['a'],'completion':1}]", "prices[0].prompt: expected nano-dollars"},
    {"[{'models':['a'],'prompt':1}]", "prices[0].completion: expected nano-dollars"},
    {"[{'models':['a'],'prompt':1.5,'completion':1}]", "prices[0].prompt: expected an integer"},
    {"[{'models':['a'],'prompt':-1,'completion':1}]", "prices[0].prompt: expected an integer"},
    {"[{'models':['a'],'prompt':1e3,'completion':1}]", "found a number with a fraction"},
    {"[{'models':[],'prompt':1,'completion':1}]", "prices[0].models: expected at least one"},
    {"[{'prompt':1,'completion':1}]", "prices[0].models: expected at least one"},
    {"[{'models':['a'],'from':'2030-01-01','to':'2030-01-01','prompt':1,'completion':1}]",
     "prices[0].to: expected a time behind"},
    {"[{'models':['a'],'from':'soon','prompt':1,'completion':1}]",
     "prices[0].from: expected a time"},
    {"[{'models':['a'],'prompt':1,'completion':1},\n{'models':['a'],'from':'2030-01-01','prompt':1,"
     "'completion':1}]",
     "doc:2: prices[1]: the price of a overlaps that of prices[0]"},
    {"[{'target':'A b','models':['a'],'prompt':1,'completion':1}]", "prices[0].target: expected"},
    {"[{'models':['a'],'input':1}]", "prices[0].input: unknown member"},
    {"{}", "prices: expected an array"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char text[512];
        weir_error_t err;
        snprintf(text, sizeof(text), "{'version':1,'prices':%s}", refused[i].prices);
        if (!ok(load(text, &err) == NULL && strstr(err.message, refused[i].says) != NULL,
                "refused %zu: %s", i, refused[i].says)) {
            diag("message: %s", err.message);
        }
    }
    weir_error_t err;
    ok(load("{'version':1,'currency':'EUR','prices':[]}", &err) == NULL, "another currency");
}

int main(void)
{
    weir_arena_init(&arena, 0, 0);
    test_lookup();
    test_cost();
    test_dearest();
    test_refused();
    weir_arena_free(&arena);
    return done_testing();
}
