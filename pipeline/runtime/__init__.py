"""Composes the rooms into a run: what is done next, what is already done, what a person sees."""
