"""Whole experiments: ablations, committed evaluations again, weights shipped with their cards."""
