"""Demo, benchmarks and measurements, run from the repository as `python -m tools.NAME`; not installed."""
