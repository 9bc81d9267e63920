"""Complete experiments: studies as tables and their plans, ablations, reproductions, shipped weights with cards."""

from ifmsr.extras import require

require("pandas")
