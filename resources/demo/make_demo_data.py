#!/usr/bin/env python3
"""Make the demo data of coresift from two Debian packages.

The RNA files hold windows of ribosomal RNA genes (SILVA release 93, as shipped in
``ncbi-rrna-data``); the protein file is a sample of the UniProt example of MMseqs2
(``mmseqs2-examples``).  Every choice is a function of an xxh3 hash of the accession (or of the
record id), never of a random number generator or of the order of a set, so that a second run
gives the same bytes.  README.md in this folder explains each rule.

    python make_demo_data.py            # write the files beside this script
    python make_demo_data.py --check    # make them again and compare the bytes
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

HERE = Path(__file__).resolve().parent
BLAST_DIR = Path("/usr/share/ncbi/data")
DATABASES = {"SSU": "SSURef_93.fasta", "LSU": "LSURef_93.fasta"}
PROTEINS = Path("/usr/share/doc/mmseqs2/example-data/DB.fasta.gz")
PACKAGES = {
    "ncbi-rrna-data": "6.1.20170106+dfsg1-10",
    "mmseqs2-examples": "14-7e284+ds-1",
}
DATA_FILES = (
    "rna_1.fasta.gz",
    "rna_2.fasta.gz",
    "rna_tasks.fasta.gz",
    "planted_leaks.tsv",
    "protein_1.fasta.gz",
)
BEGIN, END = "<!-- made by make_demo_data.py: begin -->", "<!-- end -->"

# Stratum: parents in the pool, windows per parent (the second number is the chance of one more).
POOL_QUOTA: dict[str, tuple[int, int, float]] = {
    "16S-Archaea": (1000, 1, 0.3),
    "16S-Bacteria": (1700, 1, 0.3),
    "18S-Eukaryota": (1500, 1, 0.3),
    "23S-Archaea": (1000, 4, 0.5),  # fewer than 150 exist: all of them, more windows each
    "23S-Bacteria": (900, 1, 0.3),
    "28S-Eukaryota": (900, 1, 0.3),
    "SSU-other": (600, 1, 0.3),
    "LSU-other": (450, 1, 0.3),
}
# Stratum: windows in the task file, windows per parent.
TASK_QUOTA: dict[str, tuple[int, int]] = {
    "16S-Archaea": (205, 1),
    "16S-Bacteria": (205, 1),
    "18S-Eukaryota": (340, 1),
    "23S-Archaea": (205, 2),
    "23S-Bacteria": (205, 1),
    "28S-Eukaryota": (340, 1),
}
POOL_LENGTHS = (30, 1000)
TASK_LENGTHS = (100, 400)
ANCHORED_SHARE = 0.15  # windows from base 1, length rounded down to a multiple of 50
SOFT_MASKED_SHARE = 0.04  # a stretch in lower case
ALL_LOWER_SHARE = 0.01  # the whole record in lower case
WRAPPED_SHARE = 0.7  # lines of 60; the others are one line
N_RUN = "N" * 10
N_RUN_PARENTS = 60
OVERLONG_PARENTS = 40
SHORT_ENDS = 60
REPEATED_RECORDS = 40
PLANTED_EXACT = 30
PLANTED_SHIFTED = 30
PROTEIN_COUNT = 2500

# --- Label rules (see README.md) ---------------------------------------------------------------

UNCLEAR = re.compile(
    r"mitochond|kinetoplast|chloroplast|plastid|apicoplast|cyanelle|chromatophore|nucleomorph"
    r"|organelle|metagenom|environmental|endosymbiont|symbiont|chimer|pseudogene|patent|vector"
    r"|synthetic|plasmid|uncultured organism|unidentified organism|mixed culture|enrichment",
    re.IGNORECASE,
)
ARCHAEAL_WORD = re.compile(
    r"\barchae(?:on|al|ote|a)\b|\b(?:cren|eury|kor|nano|thaum|halo)archae\w+", re.IGNORECASE
)
ARCHAEAL_GENERA = (
    r"Methan(?!omonas)\w+ Halarchaeum Haloarcula Halobacterium Halobaculum Halobiforma Halococcus "
    r"Haloferax Halogeometricum Halomicrobium Haloplanus Haloquadratum Halorhabdus Halorubrum "
    r"Halosarcina Halosimplex Halostagnicola Haloterrigena Halovivax Halalkalicoccus Natrialba "
    r"Natrinema Natronobacterium Natronococcus Natronolimnobius Natronomonas Natronorubrum "
    r"Sulfolobus Acidianus Metallosphaera Stygiolobus Sulfurisphaera Sulfurococcus Thermococcus "
    r"Pyrococcus Palaeococcus Archaeoglobus Ferroglobus Geoglobus Thermoplasma Picrophilus "
    r"Ferroplasma Thermoproteus Pyrobaculum Thermocladium Caldivirga Vulcanisaeta Thermofilum "
    r"Desulfurococcus Staphylothermus Thermosphaera Aeropyrum Ignicoccus Sulfophobococcus "
    r"Thermodiscus Hyperthermus Pyrodictium Pyrolobus Stetteria Acidilobus Caldisphaera Ignisphaera "
    r"Cenarchaeum Nitrosopumilus Nanoarchaeum Korarchaeum Aciduliprofundum"
).split()
BACTERIAL_WORD = re.compile(r"\b\w*bacteri(?:um|a|al)\b", re.IGNORECASE)
BACTERIAL_GENERA = (
    "Acetobacter Acidithiobacillus Acidovorax Acinetobacter Actinobacillus Actinomyces Aeromonas "
    "Agrobacterium Alteromonas Amycolatopsis Anabaena Arcobacter Arthrobacter Azospirillum "
    "Bacillus Bacteroides Bartonella Bdellovibrio Bifidobacterium Bordetella Borrelia Brachyspira "
    "Bradyrhizobium Brevibacillus Brucella Buchnera Burkholderia Campylobacter Caulobacter "
    "Chlamydia Chlorobium Chloroflexus Citrobacter Clostridium Comamonas Corynebacterium "
    "Cytophaga Deinococcus Desulfotomaculum Desulfovibrio Ehrlichia Enterobacter Enterococcus "
    "Erwinia Escherichia Flavobacterium Francisella Frankia Fusobacterium Geobacillus Geobacter "
    "Gluconacetobacter Haemophilus Halomonas Helicobacter Klebsiella Lactobacillus Lactococcus "
    "Legionella Leptospira Leuconostoc Listeria Marinobacter Mesorhizobium Microbacterium "
    "Microcystis Micromonospora Mycobacterium Mycoplasma Myxococcus Neisseria Nitrosomonas "
    "Nocardia Nostoc Paenibacillus Pasteurella Planctomyces Prevotella Prochlorococcus "
    "Propionibacterium Pseudoalteromonas Pseudomonas Psychrobacter Ralstonia Rhizobium "
    "Rhodobacter Rhodococcus Rickettsia Ruminococcus Salmonella Serratia Shewanella Shigella "
    "Sinorhizobium Sphingomonas Spiroplasma Staphylococcus Stenotrophomonas Streptococcus "
    "Streptomyces Synechococcus Thermotoga Thermus Treponema Ureaplasma Vibrio Wolbachia "
    "Xanthomonas Xylella Yersinia"
).split()


def _leading_genus(genera: Iterable[str]) -> re.Pattern[str]:
    """Match a title whose organism name starts with one of ``genera``."""
    return re.compile(rf"^(?:uncultured |candidatus )?(?:{'|'.join(genera)})\b", re.IGNORECASE)


ARCHAEAL_GENUS = _leading_genus(ARCHAEAL_GENERA)
BACTERIAL_GENUS = _leading_genus(BACTERIAL_GENERA)
PROKARYOTE_RRNA = {"SSU": re.compile(r"\b16S", re.I), "LSU": re.compile(r"\b23S", re.I)}
EUKARYOTE_RRNA = {"SSU": re.compile(r"\b18S", re.I), "LSU": re.compile(r"\b2[568]S", re.I)}
ANY_PROKARYOTE_RRNA = re.compile(r"\b(?:16|23)S", re.IGNORECASE)
ANY_EUKARYOTE_RRNA = re.compile(r"\b(?:18|25|26|28)S|\beukaryot", re.IGNORECASE)
GENOME = re.compile(r"genome|genomic|chromosome", re.IGNORECASE)
TYPE_OF = {
    ("SSU", "Archaea"): "16S",
    ("SSU", "Bacteria"): "16S",
    ("SSU", "Eukaryota"): "18S",
    ("LSU", "Archaea"): "23S",
    ("LSU", "Bacteria"): "23S",
    ("LSU", "Eukaryota"): "28S",
}


def prokaryote_domain(title: str) -> str | None:
    """Return Archaea or Bacteria from the organism words of a title, None where unclear."""
    if ARCHAEAL_GENUS.search(title):
        return "Archaea"
    archaeal = bool(ARCHAEAL_WORD.search(title))
    bacterial = bool(BACTERIAL_WORD.search(title) or BACTERIAL_GENUS.search(title))
    if archaeal == bacterial:
        return None
    return "Archaea" if archaeal else "Bacteria"


def label(title: str, subunit: str) -> tuple[str, str] | None:
    """Return (rRNA type, domain) of a source title, None where it does not say both clearly."""
    if UNCLEAR.search(title):
        return None
    domain = prokaryote_domain(title)
    if EUKARYOTE_RRNA[subunit].search(title):
        unclear = domain or ANY_PROKARYOTE_RRNA.search(title)
        return None if unclear else (TYPE_OF[subunit, "Eukaryota"], "Eukaryota")
    if domain is None or ANY_EUKARYOTE_RRNA.search(title):
        return None
    named = PROKARYOTE_RRNA[subunit].search(title)
    genome = subunit == "LSU" and GENOME.search(title)
    return (TYPE_OF[subunit, domain], domain) if named or genome else None


# --- Records -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parent:
    """One sequence of a source database."""

    accession: str
    title: str
    subunit: str
    ordinal: int
    length: int
    n_run: int  # 0-based start of its first run of ten N, -1 without one

    @property
    def stratum(self) -> str:
        """The sampling stratum: type and domain, or subunit and "other"."""
        found = label(self.title, self.subunit)
        return "-".join(found) if found else f"{self.subunit}-other"


@dataclass(frozen=True)
class Window:
    """A stretch of a parent, 1-based and inclusive."""

    parent: Parent
    start: int
    end: int

    @property
    def id(self) -> str:
        """ACCESSION/START-END."""
        return f"{self.parent.accession}/{self.start}-{self.end}"


@dataclass(frozen=True)
class Entry:
    """One FASTA record as it is written."""

    id: str
    description: str
    sequence: str
    wrap: int = 60

    def fasta(self) -> str:
        """The record's text; ``wrap`` 0 means one line."""
        step = self.wrap or len(self.sequence)
        lines = [self.sequence[i : i + step] for i in range(0, len(self.sequence), step)]
        return "\n".join([f">{self.id} {self.description}", *lines, ""])


Sequences = dict[tuple[str, int], str]


def unit(key: str, salt: str) -> float:
    """Hash ``key`` to [0, 1)."""
    return (xxhash.xxh3_64_intdigest(f"{salt}|{key}") >> 11) / 2**53


def by_hash(parents: Iterable[Parent], salt: str) -> list[Parent]:
    """Order parents by the hash of their accession."""
    return sorted(parents, key=lambda p: (unit(p.accession, salt), p.accession))


# --- Sources -----------------------------------------------------------------------------------


def require_sources() -> None:
    """Stop with the package to install where a source is missing; warn at another version."""
    if shutil.which("blastdbcmd") is None:
        sys.exit("blastdbcmd not found: apt-get install ncbi-blast+")
    for name in DATABASES.values():
        if not (BLAST_DIR / f"{name}.nsq").exists():
            sys.exit(f"{BLAST_DIR / name} not found: apt-get install ncbi-rrna-data")
    if not PROTEINS.exists():
        sys.exit(f"{PROTEINS} not found: apt-get install mmseqs2-examples")
    for package, expected in PACKAGES.items():
        found = package_version(package)
        if found != expected:
            print(f"warning: {package} is {found}, made with {expected}", file=sys.stderr)


def package_version(package: str) -> str:
    """Return the installed version of a Debian package, "unknown" without dpkg."""
    if shutil.which("dpkg-query") is None:
        return "unknown"
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def read_database(subunit: str) -> Iterator[tuple[str, str]]:
    """Yield (title, sequence) of a BLAST database in its stored order."""
    path = str(BLAST_DIR / DATABASES[subunit])
    command = ["blastdbcmd", "-db", path, "-entry", "all", "-outfmt", "%t\t%s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="ascii") as process:
        assert process.stdout is not None
        for line in process.stdout:
            title, sequence = line.rstrip("\n").rsplit("\t", 1)
            yield title, sequence
    if process.returncode:
        sys.exit(f"blastdbcmd failed on {path}")


TITLE = re.compile(r"^(?:gi\|\d+\|)?(?:gb|emb|dbj)\|([A-Z]+\d+(?:\.\d+)?)\|\S* (.*)$")


def split_title(raw: str) -> tuple[str, str]:
    """Split "gb|AB049052| Uncultured ..." into accession and title."""
    match = TITLE.match(raw)
    if match is None:
        raise ValueError(f"title without an accession: {raw[:80]}")
    return match[1], match[2].strip()


def read_parents() -> list[Parent]:
    """Read every source sequence once; the first of an accession stands, LSU before SSU."""
    parents: dict[str, Parent] = {}
    for subunit in ("LSU", "SSU"):
        for ordinal, (raw, sequence) in enumerate(read_database(subunit)):
            accession, title = split_title(raw)
            if accession not in parents:
                parents[accession] = Parent(
                    accession, title, subunit, ordinal, len(sequence), sequence.find(N_RUN)
                )
    return list(parents.values())


def read_sequences(parents: Iterable[Parent]) -> Sequences:
    """Read the sequences of the chosen parents."""
    wanted = {(p.subunit, p.ordinal) for p in parents}
    return {
        (subunit, ordinal): sequence
        for subunit in DATABASES
        for ordinal, (_, sequence) in enumerate(read_database(subunit))
        if (subunit, ordinal) in wanted
    }


def cut(window: Window, sequences: Sequences) -> str:
    """Return the bases of a window."""
    parent = window.parent
    return sequences[parent.subunit, parent.ordinal][window.start - 1 : window.end]


# --- Tasks -------------------------------------------------------------------------------------


def split_of(accession: str) -> str:
    """Return train, valid or test: 60, 15 and 25 of 100 accessions."""
    value = unit(accession, "split")
    return "train" if value < 0.60 else "valid" if value < 0.75 else "test"


def log_uniform(low: int, high: int, value: float) -> int:
    """Map [0, 1) to a length, uniform in its logarithm."""
    return int(low * math.exp(value * math.log((high + 1) / low)))


def place(parent: Parent, length: int, value: float) -> Window:
    """Place a window of ``length`` in a parent at the fraction ``value`` of its free room."""
    length = min(length, parent.length)
    start = 1 + int(value * (parent.length - length + 1))
    return Window(parent, start, start + length - 1)


def draw(parent: Parent, salt: str, lengths: tuple[int, int]) -> Window:
    """Draw one window of a parent by hash."""
    length = log_uniform(*lengths, unit(parent.accession, f"{salt}-length"))
    return place(parent, length, unit(parent.accession, f"{salt}-start"))


def choose_tasks(strata: dict[str, list[Parent]]) -> list[Window]:
    """Choose the task windows: TASK_QUOTA per stratum, in hash order of the parents."""
    windows: list[Window] = []
    for stratum, (quota, per_parent) in TASK_QUOTA.items():
        ordered = by_hash(strata[stratum], "task")
        drawn = [
            draw(parent, f"task{k}", TASK_LENGTHS) for k in range(per_parent) for parent in ordered
        ]
        windows += drawn[:quota]
    return unique(windows)


def task_entry(window: Window, sequences: Sequences) -> Entry:
    """Write a task window with its labels in front of the title."""
    found = label(window.parent.title, window.parent.subunit)
    assert found is not None
    split = split_of(window.parent.accession)
    labels = f"type={found[0]} domain={found[1]} split={split}"
    return Entry(window.id, f"{labels} {window.parent.title}", cut(window, sequences))


# --- Pool --------------------------------------------------------------------------------------


def pool_window(parent: Parent, number: int) -> Window:
    """Draw the window ``number`` of a parent; the first one may be anchored at base 1."""
    window = draw(parent, f"pool{number}", POOL_LENGTHS)
    length = window.end - window.start + 1
    anchored = number == 0 and unit(parent.accession, "anchored") < ANCHORED_SHARE
    if anchored and length >= 50:
        return Window(parent, 1, length - length % 50)
    return window


def pool_windows(strata: dict[str, list[Parent]]) -> list[Window]:
    """Draw the ordinary windows of the pool, POOL_QUOTA parents per stratum."""
    windows: list[Window] = []
    for stratum, (quota, count, chance) in POOL_QUOTA.items():
        for parent in by_hash(strata[stratum], "pool")[:quota]:
            total = count + (unit(parent.accession, "one-more") < chance)
            windows += [pool_window(parent, number) for number in range(total)]
    return windows


def n_run_window(parent: Parent) -> Window:
    """Draw a window of at least 60 nt around the start of a run of N."""
    length = log_uniform(60, POOL_LENGTHS[1], unit(parent.accession, "n-length"))
    before = int(unit(parent.accession, "n-start") * (length - len(N_RUN)))
    start = max(1, parent.n_run + 1 - before)
    return Window(parent, start, min(parent.length, start + length - 1))


def short_end(parent: Parent) -> Window:
    """Draw the last 8 to 29 nt of a parent."""
    length = 8 + int(unit(parent.accession, "short-length") * 22)
    return Window(parent, parent.length - length + 1, parent.length)


def odd_windows(parents: list[Parent]) -> list[Window]:
    """Draw windows with runs of N, short ends, and whole parents above the pool's lengths."""
    with_n = [p for p in by_hash(parents, "n-run") if p.n_run >= 0][:N_RUN_PARENTS]
    whole = [p for p in by_hash(parents, "whole") if p.length > POOL_LENGTHS[1]]
    ends = by_hash(parents, "short")[:SHORT_ENDS]
    return [
        *(n_run_window(p) for p in with_n),
        *(Window(p, 1, p.length) for p in whole[:OVERLONG_PARENTS]),
        *(short_end(p) for p in ends),
    ]


def shifted(window: Window) -> Window:
    """Move a window by a tenth to three tenths of its length, towards the roomier side."""
    length = window.end - window.start + 1
    step = max(1, int(length * (0.1 + 0.2 * unit(window.id, "shift"))))
    left, right = window.start - 1, window.parent.length - window.end
    step = min(step, right) if right >= left else -min(step, left)
    return Window(window.parent, window.start + step, window.end + step)


def plant_leaks(tasks: list[Window]) -> list[tuple[Window, Window, str]]:
    """Return (pool window, task window, kind), one per test parent."""
    tests = [w for w in tasks if split_of(w.parent.accession) == "test"]
    tests.sort(key=lambda w: (unit(w.id, "leak"), w.id))
    per_parent = list({w.parent.accession: w for w in reversed(tests)}.values())[::-1]
    total = PLANTED_EXACT + PLANTED_SHIFTED
    return [
        (window, window, "exact") if i % 2 == 0 else (shifted(window), window, "shifted")
        for i, window in enumerate(per_parent[:total])
    ]


def unique(windows: Iterable[Window]) -> list[Window]:
    """Keep the first window of every id."""
    return list({window.id: window for window in reversed(list(windows))}.values())[::-1]


def letter_case(entry_id: str, sequence: str) -> str:
    """Write a documented share of the pool in lower case, whole or a stretch."""
    value = unit(entry_id, "case")
    if value < ALL_LOWER_SHARE:
        return sequence.lower()
    if value >= ALL_LOWER_SHARE + SOFT_MASKED_SHARE:
        return sequence
    length = max(1, int(len(sequence) * (0.1 + 0.4 * unit(entry_id, "mask-length"))))
    start = int(unit(entry_id, "mask-start") * (len(sequence) - length + 1))
    end = start + length
    return sequence[:start] + sequence[start:end].lower() + sequence[end:]


def pool_entry(window: Window, sequences: Sequences) -> Entry:
    """Write a pool window with its case and line length."""
    wrap = 60 if unit(window.id, "wrap") < WRAPPED_SHARE else 0
    sequence = letter_case(window.id, cut(window, sequences))
    return Entry(window.id, window.parent.title, sequence, wrap)


def split_pool(windows: list[Window], leaks: list[Window]) -> tuple[list[Window], list[Window]]:
    """Split the pool in two files by hash; leaks go to the second, some records to both."""
    first = [w for w in windows if unit(w.id, "file") < 0.5]
    second = [w for w in windows if unit(w.id, "file") >= 0.5]
    repeated = sorted(first, key=lambda w: (unit(w.id, "repeat"), w.id))[:REPEATED_RECORDS]
    return in_file_order(first), in_file_order([*second, *leaks, *repeated])


def in_file_order(windows: Iterable[Window]) -> list[Window]:
    """Shuffle windows by the hash of their id."""
    return sorted(windows, key=lambda w: (unit(w.id, "order"), w.id))


# --- Proteins ----------------------------------------------------------------------------------


def read_proteins() -> Iterator[Entry]:
    """Yield the records of the MMseqs2 example, headers as they are."""
    with gzip.open(PROTEINS, "rt", encoding="ascii") as handle:
        for block in handle.read().split(">")[1:]:
            header, *lines = block.split("\n")
            name, _, description = header.strip().partition(" ")
            yield Entry(name, description, "".join(lines))


def choose_proteins() -> list[Entry]:
    """Take PROTEIN_COUNT proteins in hash order of their accession."""
    return sorted(read_proteins(), key=lambda e: (unit(e.id, "protein"), e.id))[:PROTEIN_COUNT]


# --- Output ------------------------------------------------------------------------------------


def compress(text: str) -> bytes:
    """Gzip with no time stamp, no name and a fixed level."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=buffer, mtime=0) as handle:
        handle.write(text.encode("ascii"))
    return buffer.getvalue()


def fasta_file(entries: Iterable[Entry]) -> bytes:
    """Render and compress FASTA records."""
    return compress("".join(entry.fasta() for entry in entries))


def leak_table(leaks: list[tuple[Window, Window, str]]) -> bytes:
    """Render planted_leaks.tsv."""
    rows = ["pool_id\ttask_id\tkind", *(f"{p.id}\t{t.id}\t{kind}" for p, t, kind in leaks)]
    return ("\n".join(rows) + "\n").encode("ascii")


def quartiles(lengths: list[int]) -> str:
    """Render minimum, quartiles and maximum."""
    q1, q2, q3 = statistics.quantiles(lengths, n=4, method="inclusive")
    return f"{min(lengths)} / {q1:.0f} / {q2:.0f} / {q3:.0f} / {max(lengths)}"


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Render a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def file_table(files: dict[str, bytes], records: dict[str, list[Entry]]) -> str:
    """Render records, lengths, size and sha256 of every file."""
    rows = []
    for name, data in files.items():
        lengths = [len(e.sequence) for e in records.get(name, [])]
        count = len(lengths) or data.count(b"\n") - 1
        spread = quartiles(lengths) if lengths else "-"
        digest = hashlib.sha256(data).hexdigest()
        rows.append([f"`{name}`", count, spread, len(data), f"`{digest}`"])
    head = ["file", "records", "length min / q1 / median / q3 / max", "bytes", "sha256"]
    return table(head, rows)


def task_table(tasks: list[Window]) -> str:
    """Render the task classes by split."""
    counts = Counter((w.parent.stratum, split_of(w.parent.accession)) for w in tasks)
    parents = {name: {w.parent.accession for w in tasks if w.parent.stratum == name}
               for name in TASK_QUOTA}  # fmt: skip
    splits = ("train", "valid", "test")
    rows = [
        [*name.split("-"), *(counts[name, s] for s in splits),
         sum(counts[name, s] for s in splits), len(parents[name])]
        for name in TASK_QUOTA
    ]  # fmt: skip
    sums = [sum(row[i] for row in rows) for i in range(2, 7)]
    head = ["type", "domain", *splits, "all", "parents"]
    return table(head, [*rows, ["all", "", *sums]])


def pool_table(strata: dict[str, list[Parent]], pool: list[Window]) -> str:
    """Render how many parents the source has and how many the pool uses, by stratum."""
    windows = Counter(w.parent.stratum for w in pool)
    used = Counter(p.stratum for p in {w.parent.accession: w.parent for w in pool}.values())
    rows = [[name, len(strata[name]), used[name], windows[name]] for name in POOL_QUOTA]
    return table(["stratum", "accessions in the source", "parents in the pool", "windows"], rows)


def oddities(first: list[Entry], second: list[Entry]) -> str:
    """Count the odd material of the pool."""
    entries = [*first, *second]
    upper = [e.sequence.upper() for e in entries]
    names = {e.id: e.sequence for e in entries}
    distinct = {name: sequence.upper() for name, sequence in names.items()}
    other = [s for s in upper if re.search("[^ACGTN]", s)]
    shared = {e.id.split("/")[0] for e in first} & {e.id.split("/")[0] for e in second}
    counts = [
        ("records in both files together", len(entries)),
        ("distinct ids", len(names)),
        ("accessions in both files", len(shared)),
        ("distinct sequences after upper-casing", len(set(upper))),
        ("distinct ids whose sequence an earlier id has", len(names) - len(set(distinct.values()))),
        ("records with lower-case letters", sum(e.sequence != e.sequence.upper() for e in entries)),
        ("records with N", sum("N" in s for s in upper)),
        ("records with a run of ten N", sum(N_RUN in s for s in upper)),
        ("records with other IUPAC letters", len(other)),
        ("records shorter than 30 nt", sum(len(s) < POOL_LENGTHS[0] for s in upper)),
        ("records longer than 1,000 nt", sum(len(s) > POOL_LENGTHS[1] for s in upper)),
        ("records longer than 60 nt on one line",
         sum(e.wrap == 0 and len(e.sequence) > 60 for e in entries)),
    ]  # fmt: skip
    return table(["in the pool", "count"], counts)


@dataclass(frozen=True)
class Demo:
    """Every file's bytes and the counts block of README.md."""

    files: dict[str, bytes]
    block: str


def make() -> Demo:
    """Make the whole demo in memory."""
    parents = read_parents()
    strata: dict[str, list[Parent]] = {name: [] for name in POOL_QUOTA}
    for parent in parents:
        strata[parent.stratum].append(parent)
    tasks = choose_tasks(strata)
    leaks = plant_leaks(tasks)
    held_out = {w.parent.accession for w in tasks if split_of(w.parent.accession) == "test"}
    keep: Callable[[Parent], bool] = lambda p: p.accession not in held_out  # noqa: E731
    open_strata = {name: [p for p in group if keep(p)] for name, group in strata.items()}
    pool = unique([*pool_windows(open_strata), *odd_windows([p for p in parents if keep(p)])])
    first, second = split_pool(pool, [leak[0] for leak in leaks])
    sequences = read_sequences(w.parent for w in [*tasks, *first, *second])
    records = {
        "rna_1.fasta.gz": [pool_entry(w, sequences) for w in first],
        "rna_2.fasta.gz": [pool_entry(w, sequences) for w in second],
        "rna_tasks.fasta.gz": [task_entry(w, sequences) for w in in_file_order(tasks)],
        "protein_1.fasta.gz": choose_proteins(),
    }
    files = {name: fasta_file(entries) for name, entries in records.items()}
    files["planted_leaks.tsv"] = leak_table(leaks)
    files = {name: files[name] for name in DATA_FILES}
    parts = [
        file_table(files, records),
        f"{sum(map(len, files.values())):,} bytes in all, compressed with zlib "
        f"{zlib.ZLIB_RUNTIME_VERSION}.",
        "Pool by stratum (repeats and planted leaks included):",
        pool_table(strata, [*first, *second]),
        oddities(records["rna_1.fasta.gz"], records["rna_2.fasta.gz"]),
        "Task windows by class and split:",
        task_table(tasks),
    ]
    return Demo(files, "\n\n".join(parts))


def with_block(readme: str, block: str) -> str:
    """Put the counts block between the marks of README.md."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def write(demo: Demo, out: Path) -> None:
    """Write the files, and the counts into README.md where ``out`` has one."""
    out.mkdir(parents=True, exist_ok=True)
    for name, data in demo.files.items():
        (out / name).write_bytes(data)
    readme = out / "README.md"
    if readme.exists():
        text = readme.read_text(encoding="utf-8")
        readme.write_text(with_block(text, demo.block), encoding="utf-8")


def unpacked(path: Path) -> bytes:
    """Read a file, decompressed where it is gzip."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def compare(made: Path, kept: Path) -> dict[str, str]:
    """Say per data file: same, same text (other compressed bytes), differs or missing."""
    result = {}
    for name in DATA_FILES:
        if not (kept / name).exists():
            result[name] = "missing"
        elif (made / name).read_bytes() == (kept / name).read_bytes():
            result[name] = "same"
        elif unpacked(made / name) == unpacked(kept / name):
            result[name] = "same text"
        else:
            result[name] = "differs"
    return result


def check(demo: Demo, out: Path) -> int:
    """Compare a fresh make with the kept files; 0 when every byte is the same."""
    with tempfile.TemporaryDirectory() as folder:
        write(demo, Path(folder))
        result = compare(Path(folder), out)
    for name, verdict in result.items():
        print(f"{name}: {verdict}")
    if "same text" in result.values():
        print(f"same text, other bytes: this Python has zlib {zlib.ZLIB_RUNTIME_VERSION}")
    return int(any(verdict != "same" for verdict in result.values()))


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--check", action="store_true", help="compare with the files in --out")
    args = parser.parse_args(argv)
    require_sources()
    demo = make()
    if args.check:
        return check(demo, args.out)
    write(demo, args.out)
    print(demo.block)
    return 0


if __name__ == "__main__":
    sys.exit(main())
