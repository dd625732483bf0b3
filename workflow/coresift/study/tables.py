"""Tables of the study."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: One figure of one model: the raw metrics that everything else of a study is made from.
RUN: Schema = {
    "variant": pl.String,  # "" = the study's own run, else a label of study.beside
    "task": pl.String,  # heldout_{set}, heldout_{set}_macro, a task, or CORESET_TRAITS
    "protocol": pl.String,  # of a task (`Task.protocol_name`), else null
    "model": pl.String,  # coreset, baseline or untrained-s{seed}
    "metric": pl.String,
    "primary": pl.Boolean,  # the metric that is compared
    "eval_seed": pl.Int32,  # number of the evaluation's seed, from 0
    "value": pl.Float64,
    "drawn": pl.Boolean,  # a seed drew it: not a baseline
    # Distinct test examples; of held-out sequences clusters, where the pool has any.
    "n_examples": pl.Int32,
    # Bootstrap values over examples, the same examples for all models of a task; of the primary
    # metric at eval_seed 0, else null.
    "resamples": pl.List(pl.Float32),
}

#: `task` of what a coreset is like: its means and distances from the pool.
CORESET_TRAITS = "coreset"
#: Ending of the outcome that is the mean over groups.
MACRO = "_macro"

#: Whether a selection helps, by the rule of docs/study/README.md (a CSV file).
DECISION: Schema = {
    "round": pl.String,
    "task": pl.String,
    "selection": pl.String,
    "budget": pl.String,
    "seeds": pl.Int64,
    "gain_random": pl.Float64,  # over random; positive = better
    "control": pl.String,  # the strongest of random and what is matched to it
    "gain": pl.Float64,  # over that control
    "low": pl.Float64,  # interval of the gain
    "high": pl.Float64,
    "p_adjusted": pl.Float64,
    "asked": pl.Float64,  # gain that counts: a share of that of ten times the sequences
    "decision": pl.String,  # helps | uncontrolled | not shown | worse | too little | unknown
}

#: What one changed thing does (a CSV file): a selection against the same without the change.
CHANGE: Schema = {
    "run": pl.String,  # the study's, or a run beside
    "task": pl.String,
    "selection": pl.String,
    "control": pl.String,  # the selection without the change, of the study's own run
    "seeds": pl.Int64,
    "control_seeds": pl.Int64,
    "gain": pl.Float64,  # positive = the change is better
    "low": pl.Float64,  # interval of the gain
    "high": pl.Float64,
    "p": pl.Float64,
    # Holm over the changes of an outcome: in the study's own run, or in all runs beside it.
    "p_adjusted": pl.Float64,
    "redrawn": pl.Float64,  # of a run beside: the largest |gain| of another draw of D_sub alone
    "mark": pl.String,  # better, no different, worse, unknown
}
