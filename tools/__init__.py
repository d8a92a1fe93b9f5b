"""Demo, benchmarks and measurements. Run them from the repository as `python -m tools.NAME`; they are not installed."""
