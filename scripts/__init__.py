"""Programs around the package: set-up, tests, benchmarks, making a voice."""
