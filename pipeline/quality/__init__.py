"""Checks of finished clips: what is measured in the samples, and which flaws make a take be tried again."""
