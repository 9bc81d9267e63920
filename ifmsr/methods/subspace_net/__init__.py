"""SubspaceNet, the network that refines the training-free method."""

from ifmsr.methods.subspace_net.network import SubspaceConfig, SubspaceNet

__all__ = ["SubspaceConfig", "SubspaceNet"]
