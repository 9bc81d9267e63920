"""MoG-DCN, deep unfolding with a learned denoiser (Dong et al. 2021)."""

from ifmsr.methods.mog_dcn.network import MoGDCN

__all__ = ["MoGDCN"]
