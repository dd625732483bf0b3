"""The files of a coreset to the byte, and dataset cards as the hub reads them."""

import gzip
import hashlib
import subprocess
from typing import Annotated, get_args, get_origin

import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from coresift.config import Config, load_config
from coresift.corpus.subset import PoolError
from coresift.corpus.tables import FEATURE, SEQUENCE, group_schema
from coresift.dag.version import git_commit
from coresift.export.card import Origin, coreset_card, corpus_card, size_category
from coresift.export.comparison import compare
from coresift.export.coreset import Beside, ordered_rows, write_coreset
from coresift.export.recipe import PATH_KEYS, portable
from coresift.export.sources import describe_sources
from coresift.settings import FilePath
from coresift.tables import write_table
from pydantic import BaseModel

SEQUENCES = ["ACGUACGU", "GGGG", "ACGU", "CCCCCC", "UUUUU"]
#: Record e/1-4 is whole; of the others with coordinates the windows are cut.
SOURCES = [["b", "c"], ["a"], ["d", "d", "e/1-4", "e/1-4/5-8", "h/9-12"], ["f/1-6"], ["g"]]
WINDOWS = [0, 0, 2, 1, 0]
IDS = [f"{i:032x}" for i in range(5)]
#: Which sequences are drawn, by rank.
DRAWN = [3, 0, 2]
GROUPINGS = ["source", "family"]


@pytest.fixture
def tables(tmp_path):
    """Paths of the tables of a pool of five sequences: pool in two buckets and in one, others."""
    pool = pl.DataFrame(
        {
            "seq_id": IDS,
            "sequence": SEQUENCES,
            "length": [len(s) for s in SEQUENCES],
            "block": [0, 0, 1, 1, 1],
            "n_copies": [len(s) for s in SOURCES],
            "n_windows": WINDOWS,
            "source_ids": SOURCES,
        }
    )
    for name, rows in {"0": pool[:2], "1": pool[2:], "all": pool}.items():
        write_table(tmp_path / f"pool/{name}.parquet", rows, SEQUENCE)
    scores = pool.select("seq_id", "length", loss=pl.Series([0.0, 1, 2, 3, 4]))
    schema = {"seq_id": pl.String, "length": pl.Int32, "loss": pl.Float64}
    write_table(tmp_path / "scores.parquet", scores, schema)
    groups = pool.select("seq_id", source=pl.lit("x"), family=pl.Series(["p", "p", None, "q", "q"]))
    write_table(tmp_path / "groups.parquet", groups, group_schema(GROUPINGS))
    features = pool.select(
        "seq_id", "length", composition=0.5, ambiguous=0.0, low_complexity=pl.lit(0.25)
    )
    write_table(tmp_path / "features.parquet", features, FEATURE)
    return tmp_path


@pytest.fixture
def coreset():
    rows = {"seq_id": [IDS[i] for i in DRAWN], "rank": [0, 1, 2]}
    return pl.DataFrame(rows).with_columns(
        stratum=pl.lit(-1, pl.Int32), weight=pl.Series([1.0, 2.0, 1.0])
    )


def beside(folder):
    return Beside(folder / "scores.parquet", "loss", folder / "groups.parquet", GROUPINGS)


FILES = ("coreset.fasta.gz", "dataset.parquet", "ids.txt", "windows.bed")


def written(folder, coreset, buckets, ranks, out):
    """Bytes of FASTA, dataset, ids and BED."""
    pool = [folder / f"pool/{bucket}.parquet" for bucket in buckets]
    paths = [folder / out / name for name in FILES]
    rows = ordered_rows(coreset, pool, beside(folder), ranks)
    write_coreset(rows, beside(folder).schema, *paths)
    return [path.read_bytes() for path in paths]


def test_a_coreset_is_written_in_rank_order(tables, coreset):
    fasta, _, ids, windows = written(tables, coreset, "01", 2, "out")
    assert gzip.decompress(fasta).decode() == (
        f">f/1-6 seq_id={IDS[3]} copies=1 rank=0\nCCCCCC\n"
        f">b seq_id={IDS[0]} copies=2 rank=1\nACGUACGU\n"
        f">d seq_id={IDS[2]} copies=5 rank=2\nACGU\n"
    )
    assert ids == b"b\nc\nd\ne/1-4\n"
    assert windows.decode() == (f"f\t0\t6\t{IDS[3]}\ne/1-4\t4\t8\t{IDS[2]}\nh\t8\t12\t{IDS[2]}\n")
    assert pq.read_table(tables / "out/dataset.parquet").to_pydict() == {
        "id": [IDS[i] for i in DRAWN],
        "sequence": [SEQUENCES[i] for i in DRAWN],
        "source_ids": [SOURCES[i] for i in DRAWN],
        "n_windows": [1, 0, 2],
        "length": [6, 8, 4],
        "score": [3.0, 0.0, 2.0],
        "rank": [0, 1, 2],
        "stratum": [-1, -1, -1],
        "weight": [1.0, 2.0, 1.0],
        "source": ["x", "x", "x"],
        "family": ["q", "p", None],
    }


@pytest.mark.parametrize(("buckets", "ranks"), [("01", 1), (["all"], 2), (["all"], 100)])
def test_the_bytes_depend_on_neither_buckets_nor_parts(tables, coreset, buckets, ranks):
    shuffled = coreset.reverse()
    assert written(tables, shuffled, buckets, ranks, "a") == written(tables, coreset, "01", 2, "b")


def test_what_is_in_no_table_is_an_error(tables, coreset):
    with pytest.raises(PoolError, match="1 sequences of the coreset are not in the pool"):
        written(tables, coreset, "1", 2, "out")
    scores = pl.read_parquet(tables / "scores.parquet").head(3)
    scores.write_parquet(tables / "scores.parquet")
    with pytest.raises(ValueError, match=r"scores\.parquet: 1 of 2 sequences are not in it"):
        written(tables, coreset, "01", 2, "out")
    assert not list((tables / "out").glob("*"))


CONFIG = {
    "run": "r",
    "modality": "rna",
    "corpus": {"fasta": ["/somewhere/x|y.fa", "z.fa"]},
    "downloads": {"z.fa": {"url": "https://h/z.fa", "checksum": "md5:00"}},
}


@pytest.fixture
def origin(tmp_path):
    for name, text in (("x|y", "abc"), ("z", "")):
        (tmp_path / f"{name}.fa").write_text(text)
    paths = {"x_y": tmp_path / "x|y.fa", "z": tmp_path / "z.fa"}
    summary = {
        "files": {"x_y": {"records": 9, "accepted": 8}, "z": {"records": 1, "accepted": 1}},
        "records": 10,
        "long": {"records": 2, "residues": 20, "windows": 4, "cropped": 1, "repeated": 2},
        "rejected": {"too_short": 1},
        "accepted": 9,
        "duplicates": 2,
        "distinct": 7,
        "not_sampled": 0,
        "removed": 1,
        "held_out": {"sequences": 1, "residues": 7},
        "pool": 5,
        "residues": 27,
    }
    config = load_config(CONFIG).model_dump(
        mode="json", include={"run", "modality", "corpus", "downloads"}
    )
    target = "results/r/coresets/random_length:cci-3-s0/README.md"
    return Origin(config, describe_sources(paths), summary, {"select": "d1"}, "c0ffee", target)


def parts(card):
    """The YAML head, and the configuration in the text."""
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])


def test_the_card_of_a_coreset(tables, coreset, origin):
    written(tables, coreset, "01", 2, "out")
    paths = [tables / f"{name}.parquet" for name in ("scores", "features", "groups")]
    row = compare(coreset, paths[0], "loss", *paths[1:], GROUPINGS)
    card = coreset_card(origin, "cci-3-s0", ("cci", 3, 0), "loss", GROUPINGS, row)
    head, config = parts(card)
    assert head["size_categories"] == ["n<1K"]
    assert head["tags"] == ["biology", "rna", "coreset", "coresift"]
    assert head["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [{"split": "train", "path": "dataset.parquet"}],
        }
    ]
    columns = pq.read_schema(tables / "out/dataset.parquet").names
    assert all(f"| `{name}` |" in card for name in columns)
    lines = card.splitlines()
    for line in (
        "| length, residues | 6 | 5.4 | 0.2667 |",
        "| score `loss` | 1.667 | 2 | 0.2 |",
        "| source | 0 |",
        f"| `x\\|y.fa` | 3 | `{hashlib.sha256(b'abc').hexdigest()}` | 9 | 8 | - | - |",
        f"| `z.fa` | 0 | `{hashlib.sha256().hexdigest()}` | 1 | 1 | https://h/z.fa | `md5:00` |",
        "| above max_length | 2 | 20 |",
        "| windows in place of these | 4 | 21 |",
        "| rejected: too_short | 1 |  |",
        "| held out | 1 | 7 |",
        "| pool | 5 | 27 |",
        "| coreset | 3 | 18 |",
        f"    snakemake --cores all {origin.target} --configfile config.yaml",
        "Code: commit `c0ffee`; digests of what each rule runs:",
        "| select | `d1` |",
    ):
        assert line in lines
    assert "/somewhere" not in card
    assert str(tables) not in card
    again = load_config(config)
    assert again.corpus.fasta == ["x|y.fa", "z.fa"]
    assert again == load_config(portable(CONFIG))


def test_a_recipe_loses_folders_of_paths_and_nothing_else():
    config = {
        "corpus": {
            "fasta": ["/a/x.fa", "y.fa"],
            "groups": {"rfam": {"regex": r"/(RF\d+)"}, "t": {"table": "/a/y.fa"}},
        },
        "tasks": {
            "one": {"data": {"train": "/d/x/train.csv", "test": "/d/test.csv"}},
            "two": {"data": {"train": "/d/y/train.csv", "label": "/label"}},
        },
        "downloads": {"/d/x/train.csv": {"url": "u1"}, "/d/y/train.csv": {"url": "/u2"}},
        "seed": 1,
    }
    assert portable(config) == {
        "corpus": {
            "fasta": ["x.fa", "y.fa"],
            "groups": {"rfam": {"regex": r"/(RF\d+)"}, "t": {"table": "a/y.fa"}},
        },
        "tasks": {
            "one": {"data": {"train": "x/train.csv", "test": "test.csv"}},
            "two": {"data": {"train": "y/train.csv", "label": "/label"}},
        },
        "downloads": {"x/train.csv": {"url": "u1"}, "y/train.csv": {"url": "/u2"}},
        "seed": 1,
    }
    same = {"corpus": {"fasta": ["/x.fa", "x.fa", "/b/x.fa"]}}
    assert portable(same) == {"corpus": {"fasta": ["/x.fa", "x.fa", "b/x.fa"]}}


def path_keys(annotation, metadata, key):
    """Keys of the settings that are of type `FilePath`."""
    if any(m in FilePath.__metadata__ for m in metadata):
        yield ".".join(key)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from path_keys(field.annotation, field.metadata, (*key, name))
    else:
        many = get_origin(annotation) in (list, dict, tuple)
        inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else None
        for part in inner or get_args(annotation):
            kept = part.__metadata__ if get_origin(part) is Annotated else ()
            yield from path_keys(part, kept, (*key, "*") if many else key)


def test_every_path_of_the_settings_is_known_to_recipes():
    found = set(path_keys(Config, (), ()))
    assert {"corpus.fasta.*", "tasks.*.data.train"} <= found
    assert set(PATH_KEYS) == found | {f"{s}.preset" for s in ("base", "pretrain", "validate")}


def test_the_card_of_a_pool_names_its_tables(tables, origin):
    """In a folder with those names each configuration is read, and nothing else is."""
    card = corpus_card(origin, {"family": {"groups": 2, "without": 1}})
    head, _ = parts(card)
    folder = tables / "corpus"
    for set_, name in (("pool", "0"), ("pool", "1"), ("heldout", "1")):
        path = folder / f"{set_}/corpus/{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(tables / f"pool/{name}.parquet")
    for name in ("features", "groups"):
        (folder / f"{name}.parquet").symlink_to(tables / f"{name}.parquet")
    rows = {
        (config["config_name"], files["split"]): ds.dataset(
            [str(path) for path in sorted(folder.glob(files["path"]))]
        ).count_rows()
        for config in head["configs"]
        for files in config["data_files"]
    }
    assert rows == {
        ("default", "train"): 5,
        ("default", "test"): 3,
        ("features", "train"): 5,
        ("groups", "train"): 5,
    }
    assert [config.get("default") for config in head["configs"]] == [True, None, None]
    assert "| family | 2 | 1 |" in card.splitlines()


@pytest.mark.parametrize("name", ["rna", "protein"])
def test_a_card_holds_what_loads_again(root, name):
    text = (root / f"config/{name}.yaml").read_text()
    config = load_config(yaml.safe_load(text))
    sections = {"evaluate", "report", "pretrain", "validation"}
    dumped = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json", exclude=sections)))
    again = load_config(dumped)
    assert again.model_dump(exclude=sections) == config.model_dump(exclude=sections)


@pytest.mark.parametrize(
    ("n", "category"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (200_000, "100K<n<1M"), (30_000_000, "10M<n<100M")],
)
def test_size_categories_are_the_hubs(n, category):
    assert size_category(n) == category


def test_the_commit_is_of_the_project_itself(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert git_commit(tmp_path) is None
    git("init")
    assert git_commit(tmp_path) is None
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a").write_text("a")
    git("add", ".")
    git("commit", "-m", "m")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")
    assert git_commit(tmp_path / "inner") is None
    (tmp_path / "inner/a").write_text("b")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD") + " with uncommitted changes"
