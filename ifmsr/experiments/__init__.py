"""Complete experiments: the ablation study, the reproduction of committed evaluations, shipped weights with cards."""

from ifmsr.extras import require

require("pandas")
