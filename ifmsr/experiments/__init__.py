"""Whole experiments: ablations, committed evaluations again, weights shipped with their cards."""

from ifmsr.extras import require

require("pandas")
