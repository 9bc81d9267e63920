"""The training-free method, a chain of seven steps."""

from ifmsr.methods.closed_form.chain import ClosedForm, solve

__all__ = ["ClosedForm", "solve"]
