"""Dataset cards (README.md with a YAML head, as the Hugging Face hub reads it).

The head is documented at huggingface.co/docs/hub/datasets-cards and, for `configs` and
`data_files`, at huggingface.co/docs/hub/datasets-manual-configuration: with it
`datasets.load_dataset(FOLDER)` reads the tables that are meant and no others.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coresift.alphabet import ALPHABETS
from coresift.export.recipe import portable

#: The hub's size classes: the number of rows that each ends at, and its name.
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


@dataclass(frozen=True)
class Origin:
    """Where a folder of data comes from.

    Attributes:
        config: the sections of the configuration that shape it, as plain data.
        sources: of `export.sources.describe_sources`.
        summary: of `corpus.summary.summarise`.
        code: digest of the code of each rule that it went through, by rule.
        commit: of `dag.version.git_commit`.
        target: the path that snakemake is asked for to make it.
    """

    config: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    code: Mapping[str, str]
    commit: str | None
    target: str


def size_category(n: int) -> str:
    """The hub's class of a data set of `n` rows."""
    return next((name for most, name in _SIZES if n < most), "1B<n<10B")


def head(title: str, modality: str, n: int, tags: Sequence[str], configs: Mapping[str, Any]) -> str:
    """The YAML head of a card.

    Args:
        n: rows of the data set.
        configs: data files, a pattern or patterns by split, of each configuration by name; the
            first is the default.
    """
    names = list(configs)
    values = {
        "pretty_name": title,
        "task_categories": ["fill-mask"],
        "tags": ["biology", modality, *tags, "coresift"],
        "size_categories": [size_category(n)],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == names[0] else {}),
                "data_files": [{"split": s, "path": p} for s, p in configs[name].items()],
            }
            for name in names
        ],
    }
    return f"---\n{_yaml(values)}---\n"


def coreset_card(
    origin: Origin,
    name: str,
    selection: Sequence[Any],
    score: str,
    groupings: Sequence[str],
    drift: Mapping[str, Any],
) -> str:
    """The card of one coreset.

    Args:
        selection: the selection's name, budget and seed.
        score: the score in the table.
        drift: of `export.comparison.compare`.
    """
    strategy, budget, seed = selection
    n, modality = drift["sequences"], origin.config["modality"]
    title = f"{name}: {n} {_kind(modality)} sequences"
    measures = {
        "length": "length, residues",
        "composition": ALPHABETS[modality].composition_name,
        "ambiguous": "share of ambiguity codes",
        "low_complexity": "share of low complexity",
        score: f"score `{score}`",
    }
    fields = [
        ("id", "xxh3-128 of the sequence, 32 hex digits"),
        ("sequence", f"normalised: {_LETTERS[modality]}"),
        ("source_ids", _IDS),
        ("n_windows", "how many of these ids, the last ones, are windows"),
        ("length", "residues"),
        ("score", f"`{score}` of the sequence; the coreset is drawn from all the pool's"),
        ("rank", "order of selection, from 0; the files' order"),
        ("stratum", "of coverage-centric selection, -1 where there is none"),
        ("weight", "inverse of the chance to be drawn within the stratum"),
        *((f"{g}", "grouping; empty where the sequence has no group") for g in groupings),
    ]
    return "\n".join(
        [
            head(title, modality, n, ["coreset"], {"default": {"train": "dataset.parquet"}}),
            f"# {title}\n",
            f"A coreset of a pool of {origin.summary['pool']} sequences, drawn by `{strategy}` "
            f"with budget {budget} and seed {seed}.\n",
            "| file | what |\n|---|---|",
            "| `dataset.parquet` | everything, the table below: `datasets.load_dataset(FOLDER)` |",
            "| `coreset.fasta.gz` | the sequences; a header has the first source id |",
            "| `ids.txt` | source ids of whole records: `seqkit grep -f ids.txt SOURCE` |",
            "| `windows.bed` | windows of longer records: "
            "`seqkit subseq --bed windows.bed SOURCE` |",
            "| `coreset.parquet` | what the workflow reads: `seq_id` (`id`), rank, stratum, weight "
            "|\n",
            _table(("column", "what"), ((f"`{k}`", v) for k, v in fields)),
            "## Beside the pool\n",
            "KS is the two-sample Kolmogorov-Smirnov statistic, TV the total variation between the "
            "shares of groups: 0 is the same, 1 nothing in common.\n",
            _table(
                ("what", "coreset, mean", "pool, mean", "KS"),
                (
                    (what, *(_number(drift[k]) for k in (f"mean_{m}", f"pool_mean_{m}", f"{m}_ks")))
                    for m, what in measures.items()
                ),
            ),
            _table(("grouping", "TV"), ((g, _number(drift[f"{g}_tv"])) for g in groupings)),
            _history(origin, [("coreset", n, drift["residues"])]),
        ]
    )


def corpus_card(origin: Origin, groups: Mapping[str, Mapping[str, int]]) -> str:
    """The card of the pool that coresets are drawn from.

    Args:
        groups: of `corpus.groups.count_groups`.
    """
    summary, modality = origin.summary, origin.config["modality"]
    n, held_out = summary["pool"], summary["held_out"]["sequences"]
    title = f"{origin.config['run']}: {n} distinct {_kind(modality)} sequences"
    splits = {"train": "pool/corpus/*.parquet"}
    if held_out:
        splits["test"] = "heldout/corpus/*.parquet"
    tables = {
        "default": splits,
        "features": {"train": "features.parquet"},
        "groups": {"train": "groups.parquet"},
    }
    fields = [
        ("seq_id", "xxh3-128 of the sequence, 32 hex digits; the files' order"),
        ("sequence", f"normalised: {_LETTERS[modality]}"),
        ("length", "residues"),
        ("block", "leading bits of the hash"),
        ("n_copies", "records of the sources, and windows of them, that have this sequence"),
        ("n_windows", "how many of these are windows"),
        ("source_ids", _IDS),
    ]
    return "\n".join(
        [
            head(title, modality, n + held_out, ["pretraining"], tables),
            f"# {title}\n",
            "A pool for pretraining: normalised, without duplicates or what resembles the "
            "examples of the tasks under `tasks` of the configuration below. Split `test` is held "
            "out of it. `datasets.load_dataset(FOLDER)` reads both; configuration `features` has "
            "length, composition, ambiguity and low complexity of each sequence of the pool, "
            "`groups` its groups.\n",
            _table(("column", "what"), ((f"`{k}`", v) for k, v in fields)),
            _table(
                ("grouping", "groups", "sequences without one"),
                ((name, row["groups"], row["without"]) for name, row in groups.items()),
            ),
            _history(origin, []),
        ]
    )


#: What source_ids has.
_IDS = (
    "ids of all records of the sources that have this sequence, sorted; after them those of "
    "windows of longer records, `ID/FIRST-LAST`, residues from 1"
)
#: What normalisation leaves of each modality.
_LETTERS = {"rna": "upper case, U for T", "protein": "upper case"}


def _kind(modality: str) -> str:
    return {"rna": "RNA"}.get(modality, modality)


def _history(origin: Origin, made: Iterable[tuple[str, int, int]]) -> str:
    """Sources, counts at every step, how to make it again, configuration and code."""
    fetched, files = origin.config["downloads"], origin.config["corpus"]["fasta"]
    downloads = {Path(path).name: fetched[path] for path in files if path in fetched}
    sources = []
    for name, source in origin.sources.items():
        download = downloads.get(source["file"], {})
        counts = origin.summary["files"][name]
        sources.append(
            (
                f"`{source['file']}`",
                source["bytes"],
                f"`{source['sha256']}`",
                counts["records"],
                counts["accepted"],
                download.get("url") or "-",
                f"`{download['checksum']}`" if download.get("checksum") else "-",
            )
        )
    titles = (
        "file",
        "bytes",
        "SHA-256",
        "records",
        "accepted, with windows",
        "URL",
        "checksum asked for",
    )
    target = shlex.quote(origin.target)
    return (
        "\n".join(
            [
                "## Sources\n",
                "The licence is that of the sources.\n",
                _table(titles, sources),
                "## Counts\n",
                _table(("step", "sequences", "residues"), [*_steps(origin.summary), *made]),
                "## How to make it again\n",
                "With coresift's code as below, this configuration as `config.yaml`, and what it "
                "names by an absolute path put beside it (of these paths only as much is kept here "
                "as tells them apart):\n",
                f"    snakemake --cores all {target} --configfile config.yaml\n",
                "<details><summary>config.yaml</summary>\n",
                f"```yaml\n{_yaml(portable(origin.config))}```\n",
                "</details>\n",
                f"Code: {_commit(origin.commit)}; digests of what each rule runs:\n",
                _table(("rule", "digest"), ((rule, f"`{d}`") for rule, d in origin.code.items())),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _commit(commit: str | None) -> str:
    return "no commit known" if commit is None else f"commit `{commit}`"


def _long(long: Mapping[str, Any]) -> list[tuple[str, int, int | str]]:
    """Steps of the records above max_length."""
    if not long["records"]:
        return []
    rows = [("above max_length", long["records"], long["residues"])]
    if long["windows"]:
        residues = long["residues"] - long["cropped"] + long["repeated"]
        rows.append(("windows in place of these", long["windows"], residues))
    return rows


def _steps(summary: Mapping[str, Any]) -> list[tuple[str, int, int | str]]:
    """Step, sequences, residues where known."""
    rejected = sorted(summary["rejected"].items())
    held_out = summary["held_out"]
    return [
        ("records", summary["records"], ""),
        *_long(summary["long"]),
        *((f"rejected: {reason}", count, "") for reason, count in rejected),
        ("accepted", summary["accepted"], ""),
        ("copies of another", summary["duplicates"], ""),
        ("distinct", summary["distinct"], ""),
        ("not sampled", summary["not_sampled"], ""),
        ("close to a task's examples", summary["removed"], ""),
        ("held out", held_out["sequences"], held_out["residues"]),
        ("pool", summary["pool"], summary["residues"]),
    ]


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; its cells have no line breaks, and a bar in one is escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
