# lua-free-filters/: transforms of bodies in flight.

$(eval $(call static_lib,filters,$(wildcard lua-free-filters/*.c lua-free-filters/translate/*.c)))
