# engine/: base, llm, api, cpu, and the command-line tools.

$(eval $(call static_lib,base,$(wildcard engine/base/*.c)))
$(eval $(call static_lib,jinja,$(wildcard engine/jinja/*.c)))
$(eval $(call static_lib,llm,$(wildcard engine/llm/*.c)))
$(eval $(call static_lib,api,$(wildcard engine/api/*.c)))
include engine/cpu/rules.mk

# What a program that runs models links, in order.
ENGINE_LIBS = $(BUILD)/lib/libweir-api.a $(BUILD)/lib/libweir-llm.a $(BUILD)/lib/libweir-cpu.a \
	$(BUILD)/lib/libweir-jinja.a $(BUILD)/lib/libweir-base.a
# llm chooses the back end and the back end reads llm's tables: llm once more behind it.
ENGINE_LDLIBS = -L$(BUILD)/lib -lweir-llm -lweir-jinja -lweir-base -lpthread -lm

$(BUILD)/bin/weir-llm: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard engine/tools/*.c)) $(ENGINE_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(ENGINE_LDLIBS) -o $@
PROGRAMS += $(BUILD)/bin/weir-llm
DEPS += $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard engine/tools/*.c))
