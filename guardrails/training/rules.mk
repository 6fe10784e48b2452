# guardrails/training: bytes that become part of programs (weights, grammars), and the objects of
# weir-guard's train and eval commands.

# $(call guard_array,SYMBOL): a C file on stdout that holds the bytes of $<.
define guard_array
	@mkdir -p $(@D)
	{ echo '/* Made from $< by guardrails/training/rules.mk. */'; \
	  echo 'extern const unsigned char $(1)[]; extern const unsigned long $(1)_len;'; \
	  echo '_Alignas(64) const unsigned char $(1)[] = {'; \
	  od -An -v -tu1 $< | sed 's/  */,/g; s/^,//; s/$$/,/'; \
	  echo '}; const unsigned long $(1)_len = sizeof($(1));'; } > $@
endef

$(BUILD)/gen/guardrails/weights.c: guardrails/weights/tier1.bin
	$(call guard_array,weir_builtin_weights)

$(BUILD)/gen/guardrails/excluded.c: guardrails/training/excluded.txt
	$(call guard_array,weir_excluded_rows)

$(BUILD)/gen/guardrails/grammar_%.c: guardrails/training/templates/%.txt
	$(call guard_array,weir_grammar_$*)

$(BUILD)/obj/gen/guardrails/%.o: $(BUILD)/gen/guardrails/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) -c $< -o $@

.PRECIOUS: $(BUILD)/gen/guardrails/%.c

$(BUILD)/lib/libweir-guardrails.a: $(BUILD)/obj/gen/guardrails/weights.o

GUARD_GRAMMARS = $(patsubst guardrails/training/templates/%.txt,%,\
	$(wildcard guardrails/training/templates/*.txt))
GUARD_TRAINING_OBJS = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard guardrails/training/*.c)) \
	$(GUARD_GRAMMARS:%=$(BUILD)/obj/gen/guardrails/grammar_%.o) $(BUILD)/obj/gen/guardrails/excluded.o
GUARD_TRAINING_LDLIBS = -lcrypto -lm
DEPS += $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard guardrails/training/*.c))

$(BUILD)/obj/guardrails/training/learn.o: EXTRA_CFLAGS = -O3

# Scoring is the hot loop of every guarded request.
$(BUILD)/obj/guardrails/classifier/%.o: EXTRA_CFLAGS = -O3

ifeq ($(FUZZ),1)
$(BUILD)/training: $(GUARD_TRAINING_OBJS)
$(BUILD)/training: TEST_LDLIBS += $(BUILD)/lib/libweir-guardrails.a $(BUILD)/lib/libweir-base.a \
	$(GUARDRAILS_LDLIBS)
endif

# Figures on the public sets in DATA, against their bars; also docs/benchmarks/guardrails-accuracy.md.
.PHONY: eval
eval: $(BUILD)/bin/weir-guard
	@test -n "$(DATA)" || { echo "make eval DATA=folder: name the folder of the public sets"; exit 2; }
	$< eval --data "$(DATA)" --write docs/benchmarks/guardrails-accuracy.md
