"""The training-free method, a chain of seven steps."""

from ifmsr.methods.closed_form.chain import ClosedForm, predict, project_, solve
from ifmsr.methods.closed_form.detail_gain import BOX, apply_detail_gains_, reduced_pair
from ifmsr.methods.closed_form.global_regression import regress_globally
from ifmsr.methods.closed_form.guide_denoising import denoise_guide
from ifmsr.methods.closed_form.local_regression import explain, sharpened
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_
from ifmsr.methods.closed_form.trust import guide_trust

__all__ = [
    "BOX",
    "ClosedForm",
    "apply_detail_gains_",
    "denoise_guide",
    "denoise_shadows_",
    "explain",
    "guide_trust",
    "predict",
    "project_",
    "reduced_pair",
    "regress_globally",
    "sharpened",
    "solve",
]
