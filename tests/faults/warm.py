"""Imports that take longer than the work of the processes which are forked after them."""

import torch

import ifmsr.methods.bicubic
import ifmsr.notebooks
import ifmsr.scenes
import ifmsr.study.evaluation
import ifmsr.training  # noqa: F401

torch.set_num_threads(1)
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much at its first use
