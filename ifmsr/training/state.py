"""The state of a training: network, optimiser, position in the schedule and log, with checkpoints."""

import zipfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError, RunFailed
from ifmsr.files import remove, sha256, write_atomically, write_text
from ifmsr.inference.networks import run_network
from ifmsr.methods.base import Network
from ifmsr.methods.registry import NETWORKS
from ifmsr.paths import in_project
from ifmsr.precision import tf32_off
from ifmsr.scenes.scene import Scene
from ifmsr.training.config import Steps, TrainConfig, stored_identity
from ifmsr.training.muon import Muon
from ifmsr.training.processes import ALONE, Processes
from ifmsr.untrusted import check_types, decoding, in_one_line
from ifmsr.weights import load_weights

CHECKPOINT = "checkpoint.pt"
FRESH = "Delete it to start again"
ENTRIES: dict[str, Any] = {
    **dict.fromkeys(("config", "net", "trained", "optimizer"), dict),
    **dict.fromkeys(("scenes", "losses", "rows"), list),
    **dict.fromkeys(("epoch", "batch"), int),
    "random": Tensor,
    "seconds": float,
}
"""Entry of a checkpoint -> its type."""
OPTIMIZERS = {"adam": torch.optim.Adam, "muon": Muon}
VALIDATION_SIDE = 96
PATIENCE = 5  # non-finite losses in a row before training stops
READ_EVERY = 64  # steps between reads of the losses on a GPU; each read waits for the device

# Shapes are constant except for an epoch's last batch, which is compiled separately (`dynamic=False`). Steps on one
# band are limited by kernel launches, which CUDA graphs avoid (one graph per shape). Steps on many bands keep the GPU
# busy, so a graph would only take memory; there the kernels are tuned instead.
COMPILERS: dict[Steps, dict[str, Any]] = {
    "per-band": {"mode": "reduce-overhead", "dynamic": False},
    "batched": {"mode": "max-autotune-no-cudagraphs", "dynamic": False},
}


class TrainingError(RunFailed):
    """Training cannot go on; the last good checkpoint is kept."""


def build_network(config: TrainConfig, bands: int = 31, scenes: Sequence[Scene] = ()) -> Network:
    """The network before training: initialised at random from the seed, then from the training `scenes` if given.

    The weights of `config.start` replace both; those for another number of bands where a tensor has the same shape.
    `bands` only matters for networks that take all bands at once.

    Raises InputError if the weights cannot be read or belong to a network of another shape.
    """
    torch.manual_seed(config.seed)
    network = NETWORKS[config.network]
    shape = {} if network.scale_free else {"scale": config.scale}
    if not (network.scale_free or network.bandwise):
        shape["bands"] = bands
    try:
        net = network.build(**shape, **config.options)
    except TypeError as error:
        raise InputError(
            "options", f"{config.network} does not accept them ({error})", "Change them"
        ) from error
    if scenes:
        net.start_from(scenes)
    if config.start:
        trained, _ = load_weights(in_project(config.start))
        try:
            net.start_with(trained)
        except RuntimeError as error:
            raise InputError(
                config.start,
                f"weights of another network ({in_one_line(error)})",
                "Give `options` that fit them, or train without `start`",
            ) from error
    return net


def start_digest(config: TrainConfig) -> str:
    """SHA-256 of the weights that are fine-tuned; "" for random initial weights.

    Raises InputError if the file is missing.
    """
    if not config.start:
        return ""
    path = in_project(config.start)
    if not path.is_file():
        raise InputError(path, "there is no such file to start from", "Train it first or name another file")
    return sha256(path)


class State:
    """Network, optimiser, position in the schedule and log of one training whose epochs have `batches` batches.

    `trained` is the network that is validated and saved: `net` itself, or the EMA of its weights. All `processes` hold
    the same state; the first writes it.
    """

    def __init__(
        self,
        config: TrainConfig,
        scenes: Sequence[Scene],
        out: Path,
        device: torch.device,
        compile: bool = False,
        batches: int = 1,
        processes: Processes = ALONE,
    ):
        self.config, self.out, self.device, self.batches = config.on(device), out, device, batches
        self.processes = processes
        self.scenes = [scene.name for scene in scenes]
        self.start_sha256 = start_digest(config)
        self.net = build_network(config, scenes[0].cube.shape[0], scenes)
        self.net.to(device)
        if device.type == "cuda":
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained = deepcopy(self.net) if config.average else self.net
        loss: Callable[..., Tensor] = (
            torch.compile(self.net.loss, **COMPILERS[config.steps]) if compile else self.net.loss
        )
        self.loss = processes.parallel(self.net, loss)
        self.optimizer = OPTIMIZERS[config.optimizer](
            self.net.parameters(),
            config.learning_rate,
            betas=(0.9, config.beta2),
            eps=1e-8,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.epoch = self.batch = self.bad_in_a_row = 0
        self.losses: list[float] = []
        self.unread: list[Tensor] = []
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self.started = self.saved = perf_counter()

    @property
    def mean_loss(self) -> float:
        return float(np.mean(self.losses)) if self.losses else float("nan")

    @property
    def last_psnr(self) -> float:
        return self.rows[-1]["val_psnr"] if self.rows else float("nan")

    @tf32_off()
    def learn(self, *batch: Tensor, share: float = 1.0) -> None:
        """Learn from one batch, the truth (N, B, H, W) last: one optimiser step, or one per band.

        Of a batch that several processes learn from, this one has the given `share`. A step whose loss is not finite is
        skipped.
        """
        self.net.train()
        batch = tuple(part.to(self.device, non_blocking=True) for part in batch)
        steps = self._bands(batch[-1].shape[1])
        for number, bands in enumerate(steps):
            self.set_learning_rate((self.batch + number / len(steps)) / self.batches)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, self.config.precision == "bfloat16"):
                loss = self.loss(*batch, bands=bands)
            loss.backward(torch.full_like(loss, share * self.processes.count))  # the processes' mean is a sum
            if self.config.gradient_clip:
                clip_grad_norm_(self.net.parameters(), self.config.gradient_clip)
            total = self.processes.sum(loss.detach() * share)
            self.optimizer.found_inf = (~total.isfinite()).float()
            self.optimizer.step()
            if self.trained is not self.net:
                self.update_ema()
            self.unread.append(total)
        self.batch += 1
        if self.device.type == "cpu" or len(self.unread) >= READ_EVERY:
            self.read_losses()

    def set_learning_rate(self, part: float) -> None:
        """The learning rate after this `part` of the epoch under way."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.epoch + part)

    @torch.no_grad()
    def update_ema(self) -> None:
        for mean, now in zip(self.trained.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(now, 1 - self.config.average)

    def _bands(self, total: int) -> Sequence[Tensor | None]:
        """The bands of each optimiser step, on the device; None means all."""
        if self.config.steps == "per-band":
            return [torch.full((1,), band, device=self.device) for band in range(total)]
        if not self.net.bandwise:
            return [None]
        chosen = self.config.bands_per_step or total
        rng = np.random.default_rng((self.config.seed, self.epoch, self.batch, 2))
        bands = torch.from_numpy(np.sort(rng.permutation(total)[:chosen]))
        return [
            bands.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else bands
        ]

    def read_losses(self) -> None:
        """Fetch the losses that are still on the device, and stop if too many were not finite."""
        for value in torch.stack(self.unread).tolist() if self.unread else ():
            self.bad_in_a_row = 0 if np.isfinite(value) else self.bad_in_a_row + 1
            if self.bad_in_a_row == PATIENCE:
                raise TrainingError(
                    f"the loss was NaN or infinite {PATIENCE} steps in a row, last in batch {self.batch} of epoch "
                    f"{self.epoch}. The last good checkpoint is in {self.out}: lower the learning rate and resume."
                )
            if np.isfinite(value):
                self.losses.append(value)
        self.unread.clear()

    def finish_epoch(self, validation: Sequence[Scene]) -> dict[str, float]:
        """Validate, log, write a checkpoint."""
        self.read_losses()
        now = perf_counter()
        self.seconds, self.started = self.seconds + now - self.started, now
        row = {
            "epoch": self.epoch + 1,
            "step": int(next(iter(self.optimizer.state.values()))["step"]),
            "lr": self.optimizer.param_groups[0]["lr"],
            "loss": self.mean_loss,
            "val_psnr": validation_psnr(self.trained, validation, self.config, self.device, self.processes),
            "seconds": round(self.seconds, 1),
        }
        self.rows.append(row)
        self.epoch, self.batch, self.losses = self.epoch + 1, 0, []
        self.save_checkpoint()
        self.write_log()
        return row

    def write_log(self) -> None:
        """Write ``log.csv`` as the checkpoint has it: one row per finished epoch, no file before the first."""
        path = self.out / "log.csv"
        if not self.processes.first:
            return
        if self.rows:
            write_text(path, pd.DataFrame(self.rows).to_csv(index=False))
        else:
            remove(path)

    def checkpoint_if_due(self) -> None:
        if self.processes.first and perf_counter() - self.saved > self.config.checkpoint_every:
            self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Write a checkpoint, which does not depend on the number of processes."""
        self.read_losses()
        if not self.processes.first:
            return
        content = {
            "config": self.config.identity(),
            "start_sha256": self.start_sha256,
            "scenes": self.scenes,
            "net": self.net.state_dict(),
            "trained": self.trained.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "losses": self.losses,
            "rows": self.rows,
            "seconds": self.seconds + perf_counter() - self.started,
        }
        write_atomically(self.out / CHECKPOINT, lambda file: torch.save(content, file))
        self.saved = perf_counter()

    def restore(self) -> None:
        """Resume from the folder's checkpoint, if there is one, and make the log agree with it.

        A training that was killed between the two files has left a log that is one epoch short. A log without a
        checkpoint belongs to an abandoned training and is removed.

        Raises the errors of `read_checkpoint`, and InputError if another process has found a later checkpoint.
        """
        content = read_checkpoint(self.out, self.config, self.scenes, self.device)
        if content is not None:
            self.load(content)
        seen = self.epoch * self.batches + self.batch
        if self.processes.largest(seen) != seen:
            raise InputError(
                self.out,
                "another process has found a later checkpoint there",
                "Give a folder that all machines of this training share",
            )
        self.write_log()

    def load(self, content: dict[str, Any]) -> None:
        """Load what `save_checkpoint` stored."""
        with decoding(self.out / CHECKPOINT, "a checkpoint of this training", FRESH):
            self._load(content)

    def _load(self, content: dict[str, Any]) -> None:
        self.net.load_state_dict(content["net"])
        self.trained.load_state_dict(content["trained"])
        self.optimizer.load_state_dict(content["optimizer"])
        for parameter, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if value.shape == parameter.shape:  # use this device's memory layout
                    moments[name] = torch.empty_like(parameter).copy_(value)
        torch.set_rng_state(content["random"].cpu())
        self.epoch, self.batch, self.seconds = content["epoch"], content["batch"], content["seconds"]
        self.losses, self.rows = content["losses"], content["rows"]


def read_checkpoint(
    out: Path, config: TrainConfig, scenes: Sequence[str], device: torch.device
) -> dict[str, Any] | None:
    """The checkpoint in `out`, or None if there is none.

    Raises InputError if it cannot be read or belongs to a training with another configuration, other scenes or other
    initial weights.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    with decoding(path, "a checkpoint", FRESH):
        check_archive(path)
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        check_types(path, content, ENTRIES, FRESH)
    theirs = {**stored_identity(content["config"]), "scenes": content["scenes"]}
    ours = {**config.identity(), "scenes": list(scenes)}
    if "start_sha256" in content:
        theirs["start_sha256"], ours["start_sha256"] = content["start_sha256"], start_digest(config)
    if changed := [name for name in ours if theirs.get(name) != ours[name]]:
        raise InputError(
            path,
            f"it belongs to a training with other {', '.join(changed)}",
            "Choose another folder, or resume=False (--restart) to overwrite it",
        )
    return content


def check_archive(path: Path) -> None:
    """Raise ValueError unless a file is an archive as `torch.save` writes it, which inflates nothing."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("parts of it are compressed")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its parts are larger than the file")


def start_anew(out: Path) -> None:
    """Remove the folder's checkpoint, so that the old training is not resumed if the new one stops early."""
    remove(out / CHECKPOINT)


def validation_psnr(
    net: Network,
    scenes: Sequence[Scene],
    config: TrainConfig,
    device: torch.device,
    processes: Processes = ALONE,
) -> float:
    """Mean PSNR over the scenes' centre crops under the test degradation; NaN without scenes.

    The processes share the scenes.
    """
    values = torch.zeros(len(scenes), dtype=torch.float64)
    for number in range(processes.rank, len(scenes), processes.count):
        crop = scenes[number].crop_to_multiple(config.scale, VALIDATION_SIDE)
        observation = degrade(crop, config.scale, "test", config.seed, config.alignment)
        sr = run_network(net, observation, str(device), config.precision)
        values[number] = metrics.psnr(crop.cube, sr)
    return float(np.mean(processes.sum(values).numpy())) if scenes else float("nan")
