"""The command line: thin, every command is one call into the library.

Exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted.

Each command imports what it needs when it runs, so that help and wrong arguments answer at once. Names of methods, data
sets and presets are therefore checked by the library, not by the parser.
"""

from ifmsr.cli.program import main, parser

__all__ = ["main", "parser"]
