/* A plugin of another interface than this gateway's. */
#include "weir_plugin.h"

static const weir_plugin_t plugin = {.abi = WEIR_PLUGIN_ABI + 7, .size = 16, .name = "wrong_abi"};

const weir_plugin_t *weir_plugin_entry(uint32_t gateway_abi)
{
    (void)gateway_abi;
    return &plugin;
}
