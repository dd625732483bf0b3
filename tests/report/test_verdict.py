"""Marks and sentences."""

import polars as pl
import pytest
from coresift.report.tables import COMPARISON, RESULT, SEEN, read_csv
from coresift.report.verdict import (
    above_unigram,
    as_lines,
    cautions,
    gains,
    marks_table,
    regime,
    resolution,
    sentences,
)

ROLES = {"random-9": "random", "pool-9": "more_data", "random_x10-9": "more_data", "kmer": "floor"}


def compared(*rows, task="heldout_pool", metric="loss", seeds=3, detectable=0.01):
    """Rows of `COMPARISON`: selection, control, mark, gain."""
    found = [
        {
            "task": task, "metric": metric, "selection": a, "control": b,
            "role": "regime" if a in ROLES else ROLES.get(b, "matched"),
            "seeds": seeds, "control_seeds": seeds, "mark": mark, "gain": gain,
            "detectable": detectable,
        }
        for a, b, mark, gain in rows
    ]  # fmt: skip
    empty = pl.DataFrame(schema=COMPARISON)
    return pl.concat([empty, pl.DataFrame(found)], how="diagonal_relaxed").cast(COMPARISON)


def results(**loss):
    rows = [
        {"task": "heldout_pool", "selection": name, "metric": "loss", "primary": True, "mean": mean}
        for name, mean in loss.items()
    ]
    return pl.concat([pl.DataFrame(schema=RESULT), pl.DataFrame(rows)], how="diagonal_relaxed")


def test_protocols_are_outcomes_of_their_own():
    both = [
        compared(("a-9", "random-9", mark, gain), task=task).with_columns(protocol=pl.lit(name))
        for task, name, mark, gain in (
            ("t", "published", "better", 1),
            ("t_quick", "quick", "worse", -1),
        )
    ]
    table = pl.concat(both)
    assert marks_table(table).columns == ["selection", "seeds", "t (published)", "t_quick (quick)"]
    assert marks_table(table).row(0)[2:] == ("random +", "random \N{MINUS SIGN}")
    lines = sentences(results(**{"a-9": 1.0}), table, pl.DataFrame(schema=SEEN), 0.05, {})
    assert lines[0] == "No selection is shown to be better than random on t_quick (quick)."
    assert lines[1].startswith("t (published): a-9 is better than random")
    assert lines[2] == "t_quick (quick): worse than random: a-9."


def test_marks_are_a_row_a_selection_and_a_column_an_outcome():
    table = marks_table(
        pl.concat(
            [
                compared(
                    ("a-9", "random-9", "better", 1), ("a-9", "random_length:a-9", "worse", -1)
                ),
                compared(
                    ("a-9", "kmer", "no different", 0), ("b-9", "kmer", "unknown", 0), task="t"
                ),
            ]
        )
    )
    assert table.columns == ["selection", "seeds", "heldout_pool", "t"]
    assert table.rows() == [
        ("a-9", "3", "random +, length −", "kmer ="),
        ("b-9", "3", "", "kmer ?"),
    ]
    lines = as_lines(table)
    assert lines[0].split() == table.columns
    assert lines[1].index("kmer =") == lines[2].index("kmer ?") == lines[0].index(" t") + 1


LENGTH, GROUPS = "random_length:a-9", "random_groups:a-9"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a-9", "random-9", "no different", 1)],
         ["No selection is shown to be better than random on heldout_pool."]),
        ([("a-9", "random-9", "better", 0.2)], ["no matched control beside it"]),
        ([("a-9", "random-9", "better", 0.2), ("a-9", LENGTH, "better", 0.1)],
         ["a-9 is better than random and than every control matched to it; the strongest control "
          f"that it beats is {LENGTH} (by 0.1 loss)"]),
        ([("a-9", "random-9", "better", 0.2), ("a-9", LENGTH, "no different", 0.1),
          ("a-9", GROUPS, "better", 0.15), ("a-9", "kmer", "better", 0.01)],
         [f"not shown to be better than {LENGTH} (its lengths), which may explain the gain; the "
          f"strongest control that it beats is {GROUPS} (by 0.15 loss)"]),
        ([("a-9", "random-9", "worse", -1), ("b-9", "random-9", "better", 1)],
         ["b-9 is better than random", "worse than random: a-9."]),
        ([("a-9", "kmer", "better", 1)], ["No selection has a random control"]),
    ],
)  # fmt: skip
def test_a_gain_names_the_strongest_control_that_is_beaten_or_what_explains_it(rows, expected):
    found = gains(compared(*rows))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "is not known: neither pool nor random_x10 is among selection.strategies"),
        ([("pool-9", "random-9", "no different", 0),
          ("random_x10-9", "random-9", "no different", 0)],
         "Neither pool-9 nor random_x10-9 is shown to differ from random-9 on heldout_pool (pool-9 "
         "+0, detected from 0.01; random_x10-9 +0, detected from 0.01): more seeds are needed, or"),
        ([("pool-9", "random-9", "no different", 0)],
         "pool-9 is not shown to differ from random-9 on heldout_pool (random_x10: not in this "
         "run) (pool-9 +0, detected from 0.01): more seeds are needed, or more data change nothing "
         "here and this run cannot show redundancy (train for more epochs"),
        ([("pool-9", "random-9", "no different", 0), ("random_x10-9", "random-9", "better", 1)],
         "differ from random-9: random_x10-9 is better on heldout_pool."),
        ([("pool-9", "random-9", "unknown", 0)], "not known"),
    ],
)  # fmt: skip
def test_the_regime_is_stated(rows, expected):
    (line,) = regime(compared(*rows))
    assert expected in line


def test_the_regime_of_several_outcomes_names_them():
    row = ("pool-9", "random-9", "no different", 0)
    (line,) = regime(pl.concat([compared(row), compared(row, task="heldout_x", detectable=0.02)]))
    assert (
        "(pool-9 on heldout_pool +0, detected from 0.01; pool-9 on heldout_x +0, detected" in line
    )


def test_what_the_seeds_could_detect():
    rows = pl.concat(
        [
            compared(("a-9", "random-9", "better", 1), detectable=0.01),
            compared(("b-9", "random-9", "better", 1), detectable=0.03),
            compared(("b-9", "kmer", "better", 1), detectable=9),
        ]
    )
    (line,) = resolution(rows, 0.05)
    assert line.startswith("With 3 seeds the smallest difference from random that is detected")
    assert "is 0.01 (a-9) to 0.03 (b-9) loss on heldout_pool;" in line
    (line,) = resolution(rows.filter(pl.col("selection") == "a-9"), 0.05)
    assert "is 0.01 loss on heldout_pool;" in line
    (line,) = resolution(compared(("a-9", "random-9", "unknown", 1), detectable=None), 0.05)
    assert line.startswith("One coreset seed")


def test_models_above_the_unigram_line_are_named():
    table = results(**{"cci-9": 1.2, "top-9": 1.44, "untrained": 1.5, "unigram": 1.38})
    (line,) = above_unigram(table)
    assert line.startswith("heldout_pool: top-9 is above the unigram loss (1.380 nats)")
    assert above_unigram(table.filter(pl.col("selection") != "top-9")) == []


def test_what_is_not_compared_is_said():
    rows = results(**{"target:mine-9": 1, "random-9": 1, "unigram": 1})
    first, *_ = cautions(rows, compared(), {"target:mine": "pool", "cci.target_mine": "pool"})
    assert first.startswith("heldout_pool: target:mine is not compared, for its score is the")


def test_cautions():
    rows = compared(("a-9", "random-9", "better", 1), seeds=2)
    few, missing = cautions(results(**{"a-9": 1, "random-9": 1, "unigram": 1}), rows, {})
    assert few.startswith("Fewer than three coreset seeds")
    assert missing == (
        "Controls not in this run: random_length, random_complexity, random_tokens, random_groups, "
        "random_kept, pool, "
        "random_x10, untrained, constant, kmer, cnn."
    )
    tasks = results(**{"a-9": 1}).with_columns(task=pl.lit("t"))
    none, missing = cautions(tasks, compared(("a-9", "random-9", "better", 1)), {})
    assert none.startswith("No held-out set")
    assert "unigram" not in missing


def test_the_verdict_of_a_run(written):
    out = written.out
    seen = read_csv(out.seen, SEEN)
    lines = sentences(
        read_csv(out.csv, RESULT), read_csv(out.comparisons, COMPARISON), seen, 0.05, {}
    )
    starts = [
        "heldout_pool: cci-10 is better than random and than every control matched to it; the "
        "strongest control that it beats is random_length:cci-10 (by 0.0",
        "heldout_pool: worse than random: top_influence-10.",
        "toy (quick): cci-10 is better than random and than every control matched to it",
        "Neither pool-10 nor random_x10-10 is shown to differ from random-10 on heldout_pool (",
        "With 4 seeds the smallest difference from random that is detected ",
        "heldout_pool: top_influence-10 is above the unigram loss",
        "toy (quick): 3.0% of test (3 of the 100 examples compared) are in the pool at 95%",
        "Controls not in this run: random_complexity, random_tokens, random_groups, random_kept, "
        "constant, cnn.",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start), line
