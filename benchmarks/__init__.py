"""Speed and memory, measured: `python -m benchmarks` writes CSV files and a plot to results/performance/."""
