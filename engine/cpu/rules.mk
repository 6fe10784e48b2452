# engine/cpu: one translation unit per instruction set, each with its own flags.

$(eval $(call static_lib,cpu,$(wildcard engine/cpu/*.c)))

# Compilers need minutes to optimise the unrolled kernels with sanitizers in them. A fuzz target runs
# none. With SANITIZE=1 the plain-C ones go without ASan, which made them a hundred times slower: the
# other two are built from the same templates and check the same accesses.
KERNEL_OPT = $(if $(filter 1,$(FUZZ)),-O0,$(if $(filter 1,$(SANITIZE)),-O1,-O3))
SCALAR_OPT = $(KERNEL_OPT) $(if $(filter 1,$(SANITIZE)),-fno-sanitize=address)
$(BUILD)/obj/engine/cpu/%_scalar.o: EXTRA_CFLAGS = $(SCALAR_OPT)
$(BUILD)/obj/engine/cpu/%_avx2.o: EXTRA_CFLAGS = $(KERNEL_OPT) -mavx2 -mfma -mf16c
$(BUILD)/obj/engine/cpu/%_avx512.o: EXTRA_CFLAGS = $(KERNEL_OPT) -mavx512f -mavx512bw -mavx512vl \
	-mavx512dq -mavx512vnni -mavx2 -mfma -mf16c -mprefer-vector-width=512
