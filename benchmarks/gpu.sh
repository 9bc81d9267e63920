#!/usr/bin/env bash
# On a GPU: tests, speed, and then SECONDS (default: 1800) of a training by the paper's schedule, on all GPUs.
# Usage: benchmarks/gpu.sh OUT [SECONDS], from the project's root; IFMSR_DATA is the folder that contains cave/.
set -euo pipefail
out=$1
budget=${2:-1800}
python=${PYTHON:-python3}
mkdir -p "$out"

$python -c 'import sys, torch; sys.exit(not torch.cuda.is_available() and "no GPU here")'
$python -m pytest -q tests/test_devices.py tests/training/test_on_device.py tests/inference/fast_ifmsr tests/methods/ifmsr | tee "$out/tests.log"
$python -m benchmarks patch_search inference beyond scaling training | tee "$out/benchmarks.log"
cp -r results/performance "$out/"

# The paper's protocol with all bands in one step; with a checkpoint per minute, so that a second call resumes.
timeout --signal TERM "$budget" $python -m torch.distributed.run --nproc-per-node gpu -m ifmsr train \
    --preset paper --data cave --split figure4 --scale 4 --set steps=batched --set precision=bfloat16 \
    --set checkpoint_every=60 --compile --out "$out/ifmsr-x4" || test $? -eq 124  # the time is over
