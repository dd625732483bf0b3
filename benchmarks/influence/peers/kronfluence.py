"""kronfluence: diagonal strategy, empirical Fisher, self-influence scores.

It takes one fixed batch size: as many sequences as our batches have on average, sorted by length.
A layer's bias is scored with its weight, so the scores are close to ours, not equal.
"""

import tempfile
from collections.abc import Callable

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from workload import Workload, mean_losses, peer_rows

Item = tuple[torch.Tensor, torch.Tensor]


class Mlm(Task):
    def __init__(self, modules: list[str]) -> None:
        self.modules = modules

    def compute_train_loss(self, batch: Item, model: torch.nn.Module, sample: bool = False):
        ids, attention = batch
        logits = model(input_ids=ids, attention_mask=attention).logits
        return mean_losses(logits, ids, attention).sum()

    def compute_measurement(self, batch: Item, model: torch.nn.Module) -> torch.Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self.modules

    def get_attention_mask(self, batch: Item) -> torch.Tensor:
        return batch[1]


def items(batches: list[Item]) -> list[Item]:
    """One unpadded item a sequence."""
    return [
        (ids[i, : attention[i].sum()], attention[i, : attention[i].sum()])
        for ids, attention in batches
        for i in range(len(ids))
    ]


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    rows = peer_rows(workload, parameters)
    pad_id = int(rows.model.config.pad_token_id)

    def collate(batch: list[Item]) -> Item:
        ids, attention = zip(*batch, strict=True)
        stack = torch.nn.utils.rnn.pad_sequence
        return stack(ids, True, pad_id), stack(attention, True, 0)

    task = Mlm([name.removesuffix(".weight") for name in rows.names])
    model = prepare_model(rows.model, task)
    folder = tempfile.mkdtemp()
    analyzer = Analyzer("mlm", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
    analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=collate))
    size = max(1, round(workload.n / len(rows.batches)))
    options = FactorArguments(strategy="diagonal", use_empirical_fisher=True)
    analyzer.fit_all_factors("f", items(rows.subset), size, factor_args=options)
    factors = analyzer.load_lambda_matrices("f")["lambda_matrix"].values()
    mean = sum(float(f.sum()) for f in factors) / sum(f.numel() for f in factors)
    arguments = ScoreArguments(damping_factor=0.1 * mean / workload.subset)
    data = items(rows.batches)

    def run() -> np.ndarray:
        analyzer.compute_self_scores(
            "s", "f", data, size, score_args=arguments, overwrite_output_dir=True
        )
        return rows.in_order([analyzer.load_self_scores("s")["all_modules"]])

    return run
