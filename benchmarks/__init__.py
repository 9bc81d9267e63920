"""Benchmarks of speed, memory and accuracy: `python -m benchmarks` writes CSV files to results/performance/."""
