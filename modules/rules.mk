# modules/: the NGINX modules, built out of tree against nginx-dev.

.PHONY: modules
modules: $(LIBS)
