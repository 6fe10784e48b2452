# guardrails/: the library of detectors and classifiers, and weir-guard.

GUARDRAILS_SOURCES := $(wildcard guardrails/*.c guardrails/pii/*.c guardrails/secrets/*.c \
	guardrails/classifier/*.c)
$(eval $(call static_lib,guardrails,$(GUARDRAILS_SOURCES)))

# OpenSSL gives SHA-256 for the checksums of wallets.
GUARDRAILS_LDLIBS = -lpcre2-8 -lcrypto -lm

GUARD_TOOL_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard guardrails/tools/*.c))
DEPS += $(GUARD_TOOL_OBJS:.o=.d)

include guardrails/training/rules.mk
$(BUILD)/bin/weir-guard: $(GUARD_TOOL_OBJS) $(GUARD_TRAINING_OBJS) \
	$(BUILD)/lib/libweir-guardrails.a $(BUILD)/lib/libweir-base.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(GUARDRAILS_LDLIBS) $(GUARD_TRAINING_LDLIBS) -o $@
PROGRAMS += $(BUILD)/bin/weir-guard
