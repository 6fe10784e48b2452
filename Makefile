# Weir. `make help` lists the targets. Each folder brings its own rules.mk; see README.md.

# Debian keeps nginx out of an ordinary user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

BUILD ?= build
CC = gcc
AR = ar
PKG_CONFIG ?= pkg-config

# SANITIZE=1 builds everything again under build/asan with ASan and UBSan.
ifeq ($(SANITIZE),1)
BUILD := build/asan
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif

# FUZZ=1 builds the fuzz targets and all that they link under build/fuzz, with clang.
ifeq ($(FUZZ),1)
BUILD := build/fuzz
CC = clang-14
CFLAGS = -O1 -g
SAN_FLAGS = -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
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
include guardrails/rules.mk
include modules/rules.mk
include t/rules.mk
include deploy/rules.mk

all: $(PROGRAMS) modules

clean:
	rm -rf build

help:
	@echo 'Weir: an LLM API gateway inside NGINX, and an inference engine behind it.'
	@echo
	@echo '  make run          build, fetch the model, start gateway and engine, ask a first question'
	@echo '  make stop         stop them'
	@echo '  make status       what runs: processes, ports, model, health, tokens'
	@echo '  make test         build and run every test'
	@echo '  make lint         formatters, static checkers and shell checks; warnings are errors'
	@echo '  make bench        measure engine and gateway (WRITE=1 also writes docs/benchmarks/)'
	@echo '  make eval DATA=folder   accuracy of the guardrails on public sets, against their bars'
	@echo '  make bench-tools  build llama.cpp for this machine, to be measured beside the engine'
	@echo '  make bench-litellm  install LiteLLM, to be measured beside the gateway'
	@echo '  make soak         long fuzz runs, a minute a target (SOAK_SECONDS=60)'
	@echo '  make check-bare   both quickstart commands in a bare Debian 12 (root, network)'
	@echo '  make all          build only: programs to build/bin, modules to build/modules'
	@echo '  make clean        remove build/'
	@echo
	@echo 'Variables: WEIR_PORT [8080], WEIR_RUN [run], WEIR_MODEL [the standard model],'
	@echo '           SANITIZE=1 (build/asan), FUZZ=1 (build/fuzz), NGINX, NGINX_SRC.'
	@echo 'Without the tools to build, start with ./quickstart: it installs them first.'

-include $(DEPS)
