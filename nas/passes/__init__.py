"""Running one network and reading it."""
