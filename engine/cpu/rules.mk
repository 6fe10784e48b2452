# engine/cpu: one translation unit per instruction set, each with its own flags.

$(eval $(call static_lib,cpu,$(wildcard engine/cpu/*.c)))

# With sanitizers gcc needs many minutes to optimise the unrolled plain-C kernels.
$(BUILD)/obj/engine/cpu/%_scalar.o: EXTRA_CFLAGS = $(if $(filter 1,$(SANITIZE)),-O0,-O3)
$(BUILD)/obj/engine/cpu/%_avx2.o: EXTRA_CFLAGS = -O3 -mavx2 -mfma -mf16c
$(BUILD)/obj/engine/cpu/%_avx512.o: EXTRA_CFLAGS = -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq \
	-mavx512vnni -mavx2 -mfma -mf16c -mprefer-vector-width=512
