"""The command line. Every command is one call into the library.

Exit codes: 0 success, 1 a failed run, 2 bad input, 130 interrupted, 141 the reader of a pipe has stopped reading.

A command imports the modules that it needs only when it runs, so that ``--help`` and wrong arguments are answered at
once. Therefore the library, not the parser, checks the names of methods, data sets and presets.
"""

from ifmsr.cli.program import main, parser

__all__ = ["main", "parser"]
