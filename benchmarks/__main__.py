"""Run all benchmarks, or some by name: ``python -m benchmarks patch_search beyond``; see `ALL`."""

import sys
from importlib import import_module

ALL = (
    "patch_search",
    "inference",
    "scaling",
    "training",
    "data_parallel",
    "beyond",
    "error_map",
    "one_patch",
    "band_shifts",
    "large_images",
    "block_sample",
    "plan_check",
    "full_size",
)


def main() -> None:
    """Run the chosen benchmarks, one module with a function `main` each."""
    chosen = sys.argv[1:] or ALL
    if unknown := set(chosen) - set(ALL):
        sys.exit(f"benchmarks: unknown {', '.join(sorted(unknown))}; choose from {', '.join(ALL)}")
    for name in chosen:
        print(f"--- {name}")
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
