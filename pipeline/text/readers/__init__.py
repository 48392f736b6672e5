"""Readers: one module for each format of the input, and `dispatch`, which chooses among them."""
