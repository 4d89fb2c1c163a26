"""Rank statistics and their uncertainty."""
