"""The page, the terminal's verdict, curves and scores from built files."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.files import write_json
from coresift.report import plots
from coresift.report.curves import learning_curves, read_curve, read_curves, thinned
from coresift.report.notes import leaks_note
from coresift.report.page import render, unigram_loss, verdict_text
from coresift.report.scores import SHOWN, correlations, extremes, identity_line
from markupsafe import escape

#: Of rule decontaminate, with the defaults for RNA.
LEAKS = {"method": "kmer", "k": 9, "containment": 0.15, "match": 19}
TRAITS = {"length": -0.5, "composition": 0.1, "ambiguous": None, "loss": 0.3}
SUMMARY = {
    "sequences": 40,
    "influence": {"quantiles": [0, 1], "spearman": TRAITS},
    "residue": {"quantiles": [0, 1], "spearman": {**TRAITS, "length": 0.02}},
    "identity": {"mean_self_influence_at_zero_damping": 1024.5, "parameters_with_fisher": 1024},
}
EXTREMES = pl.DataFrame(
    {
        "score": ["influence"] * 3,
        "end": ["most", "most", "least"],
        "rank": [2, 1, 1],
        "seq_id": ["b", "a", "c"],
        "source_id": ["rB", "rA", "<c>"],
        "length": [25, 300, 9],
        "value": [2.0, 3.5, 0.001],
        "sequence": ["ACGU", "A" * 300, "GGG"],
    }
)


LONG = {"records": 1, "residues": 30, "windows": 3, "cropped": 0, "repeated": 2, "rejected": {}}


@pytest.fixture
def made(written, tmp_path):
    """Files and parameters of rule make_report."""
    corpus = {
        **dict.fromkeys(("records", "accepted", "distinct", "not_sampled", "removed", "pool"), 7),
        "residues": 99, "rejected": {"short": 1}, "problems": [],
        "long": LONG,
        "files": {"f": {"path": "f.fa", "records": 7, "items": 9, "accepted": 8,
                        "long": LONG, "rejected": {"short": 1}}},
    }  # fmt: skip
    write_json(tmp_path / "corpus.json", corpus)
    write_json(tmp_path / "summary.json", SUMMARY)
    EXTREMES.write_csv(tmp_path / "extremes.csv")
    pl.DataFrame({"coreset": ["cci-10-s0"], "length_ks": [0.25]}).write_csv(tmp_path / "drift.csv")
    records = [
        {
            "residues": 100,
            "loss": 1.4 - 0.1 * i,
            "validation_loss": 1.5 - 0.1 * i if i % 2 else None,
        }
        for i in range(4)
    ]
    curve = tmp_path / "metrics.jsonl"
    curve.write_text("".join(json.dumps(record) + "\n" for record in records))
    files = SimpleNamespace(
        corpus=tmp_path / "corpus.json", summary=tmp_path / "summary.json",
        extremes=tmp_path / "extremes.csv", coresets=tmp_path / "drift.csv",
        results=written.out.csv, comparisons=written.out.comparisons, wide=written.out.wide,
        beside=written.out.beside, notes=written.out.notes, trainings=written.out.trainings,
        seen=written.out.seen, by_identity=written.out.by_identity,
        cropped=[], metrics=[curve, curve],
        plots=[written.out.held_out, written.out.bars],
    )  # fmt: skip
    params = SimpleNamespace(
        run="built", modality="rna", decontaminate=LEAKS, composition="GC share",
        compute="equal_tokens",
        confidence=0.95, aimed={}, titles=["Held-out loss", "Tasks"], cropped=[],
        names=["cci-10-s0", "random-10-s0"],
    )  # fmt: skip
    return files, params


def test_the_page_leads_with_the_verdict_and_held_out_loss(made):
    files, params = made
    page = render(files, files.plots, params)
    places = [page.index(text) for text in (
        "<h2>Verdict</h2>", "cci-10 is better than random",
        '>random +</span>, <span class="mark better">length +', "(Holm)",
        "<h2>Held-out loss</h2>", "<h2>Results</h2>", "heldout_pool (loss)", "<h2>Tasks</h2>",
        "1,024 (ratio 1.0005)", "least influential",
    )]  # fmt: skip
    assert places == sorted(places)
    assert page.count("<svg") == 2
    assert "&lt;c&gt;" in page
    assert "None" not in page


def test_the_page_says_from_which_identity_on_leaks_are_found(made):
    files, params = made
    note = leaks_note("rna", LEAKS)
    assert note in render(files, files.plots, params)
    assert "15% of the 9-mers" in note
    assert "11 of them or more. Half of the sequences with 81% identity" in note
    assert "95 % are found from 87% identity on if both have 100 residues, from 95%" in note
    own = leaks_note("rna", {**LEAKS, "k": 15, "containment": 0.5})
    assert "5 of them or more. Half of the sequences with 95% identity" in own
    assert "95 %" not in own
    aligned = leaks_note("protein", {"method": "mmseqs2", "identity": 0.8, "coverage": 0.5})
    assert "80% identity over 50% of the shorter" in aligned
    assert "off" in leaks_note("rna", None)


def test_the_terminal_shows_the_same_sentences(made):
    files, params = made
    text = verdict_text(files, params, "x/report.html")
    told, marks, last = text.split("\n\n")
    page = render(files, files.plots, params)
    assert all(str(escape(line)) in page for line in told.splitlines())
    head = marks.splitlines()[0].split()
    assert head == ["selection", "seeds", "heldout_pool", "toy", "(quick)"]
    assert last == "page: x/report.html\n"


def test_curves_have_validation_points_and_the_unigram_line(made):
    files, params = made
    curve = read_curve(files.metrics[0])
    np.testing.assert_array_equal(curve.residues, [100, 200, 300, 400])
    np.testing.assert_allclose(curve.validation, [np.nan, 1.4, np.nan, 1.2])
    line = unigram_loss(files)
    assert line == pytest.approx(1.38, abs=0.02)
    figure = learning_curves(read_curves(params.names, files.metrics), line)
    drawn = figure.axes[0].get_lines()
    assert [list(d.get_ydata()) for d in drawn if d.get_marker() == "o"] == [[1.4, 1.2]] * 2
    assert any(list(d.get_ydata()) == [line, line] for d in drawn)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["cci-10", "random-10", "letter frequencies, held-out"]
    plots.plt.close(figure)


def test_a_long_training_is_drawn_by_means_of_its_steps():
    np.testing.assert_allclose(thinned(np.arange(1000.0)), np.arange(2, 1000, 5))
    np.testing.assert_array_equal(thinned(np.array([3.0, 4.0])), [3, 4])


def test_scores_tell_what_they_lean_on():
    table = correlations(SUMMARY)
    assert table.columns == ["score", "length", "composition", "loss"]
    assert table["length"].to_list() == [-0.5, 0.02]
    assert "1,024 (ratio 1.0005)" in identity_line(SUMMARY)
    assert identity_line({"influence": {}}) is None


def test_the_ends_of_a_score_are_lines_of_text():
    ends = extremes(EXTREMES)["influence"]
    first, second = ends["most"].splitlines()
    assert first.split() == ["3.5", "300", "A" * SHOWN + "…", "rA"]
    assert second.split() == ["2", "25", "ACGU", "rB"]
    assert ends["least"].split() == ["0.001", "9", "GGG", "<c>"]
