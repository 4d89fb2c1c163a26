"""Ranks and what they are worth."""
