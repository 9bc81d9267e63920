"""`python -m ifmsr` is `ifmsr`."""

from ifmsr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
