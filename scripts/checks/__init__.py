"""What `scripts.gpu_check` checks: `exactness`, `speed`, and the `setting` that both are made in."""
