"""Candidates by shared k-mers against sets of strings; identity of alignments by hand."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from coresift.alphabet import ALPHABETS
from coresift.corpus import candidates
from coresift.corpus.alignment import Aligner
from coresift.corpus.candidates import Candidates, word_length
from hypothesis import given, settings
from hypothesis import strategies as st

SEQUENCE = "GGACUUCGAUCCGAUAAGCUAGGCUUACGACCAUGGUCAAUC"


def kmers(sequence, k):
    """Distinct k-mers."""
    return {sequence[i : i + k] for i in range(len(sequence) - k + 1)}


texts = st.lists(st.text("ACGUN", min_size=1, max_size=14), min_size=1, max_size=9)


def length_class(query):
    """Number of the power of 4 that is no shorter."""
    return next(i for i in range(9) if 4**i >= len(query))


@settings(max_examples=50)
@given(queries=texts, pool=texts, cuts=st.lists(st.integers(0, 9), max_size=3))
def test_candidates_are_those_of_sets_whatever_the_frames(queries, pool, cuts):
    search = Candidates(queries, "rna", 2)
    frame = pl.DataFrame({"seq_id": [f"{i:02d}" for i in range(len(pool))], "sequence": pool})
    bounds = [0, *sorted(cuts), len(pool)]
    for start, end in pairwise(bounds):
        search.add(frame[start:end])
    expected = []
    for i, query in enumerate(queries):
        alike = [len(q) for q in queries if length_class(q) == length_class(query)]
        rows = []
        for seq_id, sequence in frame.rows():
            k = min(word_length(max(alike) * len(sequence), 4), min(alike), len(sequence))
            shared = len(kmers(query, k) & kmers(sequence, k))
            places = min(len(query), len(sequence)) - k + 1
            apart = query not in sequence and sequence not in query
            if shared:
                rows.append((apart, -shared / places, -shared, seq_id))
        expected += [(i, seq_id, -n, not apart) for apart, _, n, seq_id in sorted(rows)[:2]]
    assert search.best.select("query", "seq_id", "shared", "contains").rows() == expected


def test_k_keeps_chance_out():
    for n_letters in (4, 20):
        for pairs in (20 * 20, 60 * 60, 23 * 1022, 400 * 400):
            k = word_length(pairs, n_letters)
            assert pairs / n_letters**k <= 1 < pairs / n_letters ** (k - 1)
    assert word_length(0, 4) == 2


def test_guides_are_found_among_many_long_sequences():
    """Chance fills no places: 23 letters once, and with the one in the middle changed."""
    rng = np.random.default_rng(0)

    def drawn(n, length):
        text = np.frombuffer(b"ACGU", np.uint8)[rng.integers(0, 4, n * length)].tobytes().decode()
        return [text[i : i + length] for i in range(0, n * length, length)]

    guides = [*drawn(20, 23), "A" * 23]
    changed = [g[:11] + ("C" if g[11] == "G" else "G") + g[12:] for g in guides]
    hosts = drawn(2 * len(guides), 1022)
    near = [h[:500] + g + h[523:] for h, g in zip(hosts, guides + changed, strict=True)]
    names = [f"~{i:02d}" for i in range(len(near))]  # after all others
    search = Candidates([*guides, *drawn(1, 400)], "rna", 20)
    search.add(pl.DataFrame({"seq_id": names, "sequence": near}))
    for part in range(10):
        ids = [f"{part}-{i}" for i in range(1000)]
        search.add(pl.DataFrame({"seq_id": ids, "sequence": drawn(1000, 1022)}))
    found = {query: rows["seq_id"].to_list() for query, rows in search.by_query()}
    assert all(f"~{i:02d}" == found[i][0] for i in range(len(guides)))
    # Of a repeat of one letter there is one k-mer, which says little.
    assert all(f"~{i + len(guides):02d}" in found[i][:5] for i in range(len(guides) - 1))


def test_a_better_sequence_displaces_however_late(monkeypatch):
    monkeypatch.setattr(candidates, "_PENDING", 3)
    search = Candidates([SEQUENCE], "rna", 2)
    parts = [SEQUENCE[:n] + "A" * 20 for n in range(10, 40)]
    frame = pl.DataFrame({"seq_id": [str(len(p)) for p in parts], "sequence": parts})
    search.add(frame)
    assert set(search.best["seq_id"]) == {"58", "59"}


@pytest.mark.parametrize(
    ("other", "identity"),
    [
        (SEQUENCE, 1.0),
        ("AAAA" + SEQUENCE + "GG", 1.0),  # an example inside a longer sequence
        (SEQUENCE[5:25], 1.0),  # a fragment of it
        (SEQUENCE[:20] + "C" + SEQUENCE[21:], 41 / 42),  # A -> C
        (SEQUENCE[:20] + SEQUENCE[22:], 40 / 42),  # gaps are columns
        (SEQUENCE[:20] + "N" + SEQUENCE[21:], 41 / 42),  # an unknown letter is no identity
        (SEQUENCE[:30] + "A" * 60, None),  # 30 of the shorter one's 42 residues
        ("A" * 42, None),
        ("N" * 42, None),
    ],
)
def test_identity_is_over_the_columns_of_an_alignment_that_covers(other, identity):
    aligner = Aligner("rna", 0.8)
    assert aligner.identity(SEQUENCE, other) == aligner.identity(other, SEQUENCE)
    assert aligner.identity(SEQUENCE, other) == pytest.approx(identity)


def test_coverage_decides_what_counts():
    half = SEQUENCE[:30] + "A" * 60
    assert Aligner("rna", 0.7).identity(SEQUENCE, half) == pytest.approx(1, abs=0.05)


def test_proteins_with_every_letter_align():
    letters = ALPHABETS["protein"].letters
    aligner = Aligner("protein", 0.8)
    changed = letters.replace("D", "E").replace("L", "I")
    assert aligner.identity(letters, changed) == pytest.approx(
        18 / 23
    )  # the last two letters have no score
