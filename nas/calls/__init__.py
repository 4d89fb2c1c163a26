"""The calls: one file each."""
