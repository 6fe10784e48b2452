# policies/: documents, keys, ledger, and the operator's command.

$(eval $(call static_lib,policies,$(wildcard policies/*.c)))
POLICIES_LDLIBS = -ljansson -lcrypto

$(BUILD)/bin/weir: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard policies/tools/*.c)) \
		$(BUILD)/lib/libweir-policies.a $(BUILD)/lib/libweir-guardrails.a $(BUILD)/lib/libweir-base.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(POLICIES_LDLIBS) $(GUARDRAILS_LDLIBS) -o $@
PROGRAMS += $(BUILD)/bin/weir
DEPS += $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard policies/tools/*.c))
