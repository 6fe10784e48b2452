# t/: unit tests (C, one TAP program each), support programs, fuzz targets, end-to-end tests.

# Every library, in link order, for tests and fuzzers.
TEST_LIBS = $(BUILD)/lib/libweir-filters.a $(BUILD)/lib/libweir-policies.a $(ENGINE_LIBS)
TEST_LDLIBS = $(POLICIES_LDLIBS) $(ENGINE_LDLIBS)

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

DEPS += $(T_SUPPORT_OBJS:.o=.d) $(patsubst t/unit/%.c,$(BUILD)/obj/t/unit/%.d,$(wildcard t/unit/*.c)) \
	$(patsubst t/programs/%.c,$(BUILD)/obj/t/programs/%.d,$(wildcard t/programs/*.c))

.SECONDARY:
.PHONY: unit
unit: $(UNIT_TESTS) $(TEST_PROGRAMS)
