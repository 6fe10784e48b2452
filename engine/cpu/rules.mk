# engine/cpu: one translation unit per instruction set, each with its own flags.

$(eval $(call static_lib,cpu,$(wildcard engine/cpu/*.c)))

# Compilers need minutes to optimise the unrolled kernels with sanitizers in them: gcc the plain-C ones,
# clang all; and a fuzz target runs none of them.
KERNEL_OPT = $(if $(filter 1,$(FUZZ)),-O0,-O3)
$(BUILD)/obj/engine/cpu/%_scalar.o: EXTRA_CFLAGS = $(if $(filter 1,$(SANITIZE)),-O0,$(KERNEL_OPT))
$(BUILD)/obj/engine/cpu/%_avx2.o: EXTRA_CFLAGS = $(KERNEL_OPT) -mavx2 -mfma -mf16c
$(BUILD)/obj/engine/cpu/%_avx512.o: EXTRA_CFLAGS = $(KERNEL_OPT) -mavx512f -mavx512bw -mavx512vl \
	-mavx512dq -mavx512vnni -mavx2 -mfma -mf16c -mprefer-vector-width=512
