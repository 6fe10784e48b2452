# deploy/: install, run and stop.

.PHONY: run stop status bench-tools bench-litellm check-bare

# Builds first; see deploy/run.
run:
	+@deploy/run

stop:
	@deploy/stop

status:
	@deploy/status

bench-tools:
	@deploy/install-packages bench
	@deploy/python-env bench

bench-litellm:
	@deploy/install-packages bench
	@deploy/python-env litellm

check-bare:
	@deploy/check-bare
