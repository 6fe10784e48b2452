# Weir. `make help` lists the targets. Each folder brings its own rules.mk; see README.md.

BUILD ?= build
CC = gcc
AR = ar
PKG_CONFIG ?= pkg-config

# SANITIZE=1 builds everything again under build/asan with ASan and UBSan.
ifeq ($(SANITIZE),1)
BUILD := build/asan
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif

WARNINGS = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wformat=2 -Wundef
CPPFLAGS += -I. -D_GNU_SOURCE
CFLAGS ?= -O2 -g
BASE_CFLAGS = -std=c11 -fPIC -ffp-contract=off -fstack-protector-strong $(WARNINGS) $(SAN_FLAGS)
LDFLAGS += $(SAN_FLAGS)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help clean

.DEFAULT_GOAL := help

LIBS :=
PROGRAMS :=

# $(call static_lib,name,sources): build/lib/libweir-<name>.a from .c files.
define static_lib
$(1)_OBJS := $$(patsubst %.c,$$(BUILD)/obj/%.o,$(2))
$$(BUILD)/lib/libweir-$(1).a: $$($(1)_OBJS)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(AR) rcs $$@ $$^
LIBS += $$(BUILD)/lib/libweir-$(1).a
DEPS += $$($(1)_OBJS:.o=.d)
endef

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c $< -o $@

include engine/rules.mk
include policies/rules.mk
include lua-free-filters/rules.mk
include modules/rules.mk
include t/rules.mk
include deploy/rules.mk

all: $(PROGRAMS) modules

clean:
	rm -rf build

-include $(DEPS)
