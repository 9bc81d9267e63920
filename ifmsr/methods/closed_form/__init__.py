"""The training-free method, a chain of seven steps."""

from ifmsr.methods.closed_form.chain import ClosedForm, predict, project, solve
from ifmsr.methods.closed_form.detail_gain import BOX, apply_detail_gains, reduced_pair
from ifmsr.methods.closed_form.global_regression import regress_globally
from ifmsr.methods.closed_form.guide_denoising import denoise_guide
from ifmsr.methods.closed_form.local_regression import regress_locally
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows
from ifmsr.methods.closed_form.trust import guide_trust

__all__ = [
    "BOX",
    "ClosedForm",
    "apply_detail_gains",
    "denoise_guide",
    "denoise_shadows",
    "guide_trust",
    "predict",
    "project",
    "reduced_pair",
    "regress_globally",
    "regress_locally",
    "solve",
]
