"""Scores that outlast a process."""
