# t/: unit tests (C, one TAP program each), support programs, fuzz targets, end-to-end tests.

# Every library, in link order, for tests and fuzzers.
TEST_LIBS = $(BUILD)/lib/libweir-filters.a $(BUILD)/lib/libweir-policies.a \
	$(BUILD)/lib/libweir-guardrails.a $(ENGINE_LIBS)
TEST_LDLIBS = $(POLICIES_LDLIBS) $(GUARDRAILS_LDLIBS) $(ENGINE_LDLIBS)

T_SUPPORT_OBJS = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard t/support/*.c))
UNIT_TESTS = $(patsubst t/unit/%.c,$(BUILD)/t/%.t,$(wildcard t/unit/*.c))
# Programs that tests drive (t/programs/NAME.c -> build/t/bin/NAME).
TEST_PROGRAMS = $(patsubst t/programs/%.c,$(BUILD)/t/bin/%,$(wildcard t/programs/*.c))

$(BUILD)/t/%.t: $(BUILD)/obj/t/unit/%.o $(T_SUPPORT_OBJS) $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(TEST_LDLIBS) -o $@

$(BUILD)/t/bin/%: $(BUILD)/obj/t/programs/%.o $(T_SUPPORT_OBJS) $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(TEST_LDLIBS) -o $@

# Fuzz targets (t/fuzz/NAME_fuzz.c -> build/fuzz/NAME): `make fuzz`, which builds with FUZZ=1.
FUZZERS = $(patsubst t/fuzz/%_fuzz.c,$(BUILD)/%,$(wildcard t/fuzz/*_fuzz.c))

ifeq ($(FUZZ),1)
$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/t/fuzz/%_fuzz.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer $(LDFLAGS) $^ $(TEST_LDLIBS) -o $@

$(BUILD)/obj/t/fuzz/%.o: EXTRA_CFLAGS = -Wno-missing-prototypes
endif

# Plugins of weir_plugin.h, with nothing but that header (t/plugins/NAME.c -> build/plugins/NAME.so).
TEST_PLUGINS = $(patsubst t/plugins/%.c,$(BUILD)/plugins/%.so,$(wildcard t/plugins/*.c))

$(BUILD)/plugins/%.so: t/plugins/%.c modules/include/weir_plugin.h
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fPIC -shared -Imodules/include $< -lpthread -o $@

# Modules that only tests load (t/modules/NAME -> build/test-modules), and those plugins.
test-modules: libs $(TEST_PLUGINS)
	@NGINX='$(NGINX)' NGINX_SRC='$(NGINX_SRC)' WEIR_LIB='$(CURDIR)/$(BUILD)/lib' WEIR_ADDON=t/modules \
		modules/tools/compile $(BUILD)/nginx-test $(BUILD)/test-modules

DEPS += $(patsubst t/fuzz/%.c,$(BUILD)/obj/t/fuzz/%.d,$(wildcard t/fuzz/*.c))
DEPS += $(T_SUPPORT_OBJS:.o=.d) $(patsubst t/unit/%.c,$(BUILD)/obj/t/unit/%.d,$(wildcard t/unit/*.c)) \
	$(patsubst t/programs/%.c,$(BUILD)/obj/t/programs/%.d,$(wildcard t/programs/*.c))

.SECONDARY:
.PHONY: unit fuzz fuzzers test-modules test soak lint bench
unit: $(UNIT_TESTS) $(TEST_PROGRAMS)

fuzz:
	@$(MAKE) --no-print-directory FUZZ=1 fuzzers

fuzzers: $(FUZZERS)

# Everything that `make test` runs; t/run says what and in which order.
test:
	+@t/run

soak: fuzz
	@WEIR_FUZZ_SECONDS=$(or $(SOAK_SECONDS),60) t/fuzz/run.t

lint:
	+@t/lint/run

bench:
	+@t/bench/run $(if $(WRITE),--write)
