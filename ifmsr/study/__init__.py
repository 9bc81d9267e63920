"""Evaluation of methods on the same observations, comparison of their metrics, and Table IV."""

from ifmsr.extras import require

require("filelock", "pandas", "jinja2")

from ifmsr.study.comparison import paired_differences
from ifmsr.study.evaluation import Task, evaluate, summary
from ifmsr.study.names import heading, method_label
from ifmsr.study.rendering import write_table4
from ifmsr.study.rows import read_rows
from ifmsr.study.table4 import table4

__all__ = [
    "Task",
    "evaluate",
    "heading",
    "method_label",
    "paired_differences",
    "read_rows",
    "summary",
    "table4",
    "write_table4",
]
