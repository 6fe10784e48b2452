# deploy/: install, run and stop.
