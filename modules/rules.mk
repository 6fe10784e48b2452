# modules/: the NGINX modules, built out of tree against nginx-dev.

NGINX ?= nginx
NGINX_SRC ?= /usr/share/nginx/src

.PHONY: modules modules-newer nginx-asan libs

libs: $(LIBS)

modules: libs
	@NGINX='$(NGINX)' NGINX_SRC='$(NGINX_SRC)' WEIR_LIB='$(CURDIR)/$(BUILD)/lib' \
		modules/tools/compile $(BUILD)/nginx $(BUILD)/modules

# The same sources against Debian 13's nginx-dev, unpacked, not installed.
modules-newer: libs
	@WEIR_LIB='$(CURDIR)/$(BUILD)/lib' modules/tools/newer $(BUILD)/nginx-newer

# NGINX itself and the modules with ASan (and UBSan in our objects), pools by malloc.
nginx-asan:
	@$(MAKE) --no-print-directory SANITIZE=1 libs
	@modules/tools/nginx-asan build/nginx-asan
