"""Masked language modelling: one readable loop for fine-tuning on D_sub and for pretraining."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from coresift.dag.pace import Pace
from coresift.hashing import content_hash, seeded_generator
from coresift.models.batching import pad, token_budget_batches
from coresift.models.checkpoint import machine, origin
from coresift.models.cropping import room_of
from coresift.models.letters import letter_losses
from coresift.models.precision import autocast
from coresift.models.resume import Resumable
from coresift.models.tokenizer import Encoder
from coresift.training.inert import deciding
from coresift.training.stream import ResidueStream
from coresift.training.validation import Validation

logger = logging.getLogger(__name__)

#: What is known of one step.
Record = dict[str, float | None]

#: The fields of a record; whole numbers stay whole.
FIELDS: dict[str, type[int] | type[float]] = {
    "step": int,
    "loss": float,
    "objective": float,
    "learning_rate": float,
    "residues": int,
    "targets": int,
    "masked": int,
    "validation_loss": float,
}

#: Label of tokens outside the loss.
IGNORE = -100


def mask_tokens(
    ids: np.ndarray, encoder: Encoder, fraction: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """BERT masking of one `<cls> residues <eos>` row: 80 % <mask>, 10 % random, 10 % kept.

    Canonical residues alone are chosen, no ambiguity code and no special token: at least one, so
    every row that has one has a loss.

    Returns:
        Input ids and labels (IGNORE where not chosen), int64.
    """
    places = np.flatnonzero(encoder.is_canonical(ids))
    count = min(len(places), max(1, int(generator.binomial(len(places), fraction))))
    chosen = places[generator.permutation(len(places))[:count]]
    labels = np.full_like(ids, IGNORE)
    labels[chosen] = ids[chosen]
    inputs = ids.copy()
    kind = generator.random(count)
    inputs[chosen[kind < 0.8]] = encoder.mask_id
    random = (kind >= 0.8) & (kind < 0.9)
    inputs[chosen[random]] = generator.choice(encoder.letter_ids, int(random.sum()))
    return inputs, labels


def learning_rate(step: int, n_steps: int, peak: float, warmup_fraction: float) -> float:
    """Linear warm-up, then a cosine to a tenth of the peak."""
    warmup = max(1, round(warmup_fraction * n_steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, n_steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def make_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; vectors (biases, norms) are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))


def train_mlm(
    model: PreTrainedModel,
    encoder: Encoder,
    sequences: Sequence[str],
    total_residues: int,
    options: dict[str, Any],
    seed: int,
    device: torch.device,
    work: str | Path,
    precision: str = "float32",
    validation: Validation | None = None,
    left_out: Collection[int] = (),
) -> list[Record]:
    """Train `model` in place; a killed run goes on from its last checkpoint, bit for bit on a CPU.

    Order, masks and dropout of step k are functions of (seed, k) alone, so a checkpoint is weights,
    moments and a step number. It belongs to a run: starting weights, architecture, tokenizer, data,
    options, precision, seed, machine, validation and what is left out; that of another run, or a
    damaged one, is not used. Losses of a step are means over its tokens, however they are cut into
    forward passes.

    What is minimised is BERT's: it counts the chosen residues that stand in the input as they are,
    or as another letter. Those that stand there are easy, so the loss that tells what a model knows
    is on the places that read <mask> alone, as on held-out sequences.

    Args:
        sequences: normalised sequences, in a fixed order.
        total_residues: residues to train on in all; with `tokens_per_step` it fixes the steps.
        options: values of `training.settings.Optimisation`.
        work: folder of the resumable checkpoint; removed by `finish`.
        precision: float32 or bf16 (autocast).
        validation: what is measured after some steps.
        left_out: rows of `sequences` that take their turn and are not learnt from: steps, rates,
            masks and dropout of the others stay as they are with them (leave-one-out).

    Returns:
        One record a step: step; loss, of `letter_losses`, nats a place that reads <mask> (None
        where the step has none); objective, what was minimised, nats a target; learning_rate;
        residues; targets, residues that the objective counts; masked, those of them that read
        <mask>; after some steps validation_loss, in the nats of loss.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    encoder.check_unknown(sequences)
    lengths = np.array([len(s) for s in sequences])
    stream = ResidueStream(
        lengths,
        options["tokens_per_step"],
        total_residues,
        room_of(encoder, options["max_tokens"]),
        seed,
    )
    run = {
        **origin(model, encoder),
        **machine(device, __file__),
        "sequences": content_hash(list(sequences)),
        "options": content_hash([total_residues, deciding(options)]),
        "seed": seed,
        "precision": precision,
        "validation": None
        if validation is None
        else content_hash([validation.points, validation.key]),
        "left_out": sorted(left_out),
    }
    model.train().to(device=device)
    optimizer = make_optimizer(model, options["weight_decay"])
    letter_ids = torch.from_numpy(encoder.letter_ids).to(device)
    validated = set() if validation is None else validation.steps(len(stream))
    steps = options["checkpoint_steps"]
    resumable = Resumable(Path(work) / "checkpoint.safetensors", steps, run)
    restored = resumable.restore(model, optimizer)
    records = [] if restored is None else unpacked(restored.extra["records"])
    pace = Pace()
    first = len(records)
    if first:
        logger.info("resuming at step %d of %d", first, len(stream))
    for step in range(first, len(stream)):
        rate = learning_rate(
            step, len(stream), options["learning_rate"], options["warmup_fraction"]
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(int(seeded_generator(seed, "dropout", str(step)).integers(2**62)))
        rows = _step_rows(
            stream, step, sequences, encoder, options["mask_fraction"], seed, left_out
        )
        n_targets = sum(int((labels != IGNORE).sum()) for _, labels in rows)
        n_masked = sum(int((ids == encoder.mask_id).sum()) for ids, _ in rows)
        sums = torch.zeros(2, device=device)  # of the objective and of the loss
        sizes = [len(ids) for ids, _ in rows]
        for batch in token_budget_batches(sizes, options["tokens_per_batch"]):
            ids, attention = pad([rows[i][0] for i in batch], encoder.pad_id)
            labels, _ = pad([rows[i][1] for i in batch], IGNORE)
            with autocast(device, precision):
                logits = model(input_ids=ids.to(device), attention_mask=attention.to(device)).logits
            chosen = labels != IGNORE
            logits, targets = logits[chosen.to(device)], labels[chosen].to(device)
            objective = F.cross_entropy(logits.float(), targets, reduction="sum")
            (objective / max(1, n_targets)).backward()
            hidden = (ids[chosen] == encoder.mask_id).to(device)
            losses, _ = letter_losses(logits.detach()[hidden], targets[hidden], letter_ids)
            sums += torch.stack([objective.detach(), losses.sum()])
        nn.utils.clip_grad_norm_(model.parameters(), options["clip_norm"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        objective_sum, loss_sum = sums.tolist()
        record = {
            "step": step,
            "loss": loss_sum / n_masked if n_masked else None,
            "objective": objective_sum / max(1, n_targets),
            "learning_rate": rate,
            "residues": sum(sizes) - 2 * len(sizes),
            "targets": n_targets,
            "masked": n_masked,
        }
        if not math.isfinite(objective_sum):
            raise FloatingPointError(
                f"the loss is {record['objective']} at step {step}; lower learning_rate"
            )
        if validation is not None and step in validated:
            record["validation_loss"] = validation.loss(model.eval(), encoder)
            model.train()
        records.append(record)
        if said := pace.due(step + 1 - first, len(stream) - step - 1):
            logger.info(
                "step %d/%d, objective %.4f, %.2f steps/s, %.0f s left",
                step + 1, len(stream), record["objective"], *said,
            )  # fmt: skip
        if (step + 1) % resumable.steps == 0 and step + 1 < len(stream):
            resumable.save(model, optimizer, {}, {"records": packed(records)})
    model.eval()
    return records


def packed(records: Sequence[Record]) -> torch.Tensor:
    """(steps, fields) float64 of records, NaN of what one has not: a state of any length is small.

    (As text they would stand in the file's header, which may have 100 MB.)
    """
    rows = [[record.get(field) for field in FIELDS] for record in records]
    return torch.tensor(
        [[math.nan if value is None else value for value in row] for row in rows],
        dtype=torch.float64,
    )


def unpacked(table: torch.Tensor) -> list[Record]:
    """The records of `packed`."""
    records: list[Record] = []
    for row in table.tolist():
        values = zip(FIELDS.items(), row, strict=True)
        known = {name: None if math.isnan(v) else kind(v) for (name, kind), v in values}
        if known["validation_loss"] is None:
            del known["validation_loss"]
        records.append(known)
    return records


def _step_rows(
    stream: ResidueStream,
    step: int,
    sequences: Sequence[str],
    encoder: Encoder,
    fraction: float,
    seed: int,
    left_out: Collection[int] = (),
) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = seeded_generator(seed, "mlm", str(step))
    pieces = [
        (p.row, encoder.encode(sequences[p.row][p.start : p.stop])) for p in stream.step(step)
    ]
    # Masks are drawn for what is left out as well, so that the others' stay the same.
    masked = [(row, mask_tokens(ids, encoder, fraction, generator)) for row, ids in pieces]
    return [inputs for row, inputs in masked if row not in left_out]


def finish(work: str | Path) -> None:
    """Remove the resumable checkpoint of a finished run."""
    shutil.rmtree(work, ignore_errors=True)


def records_text(records: Sequence[Record]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
