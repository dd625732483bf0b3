"""Remake the demo data from Debian packages, byte for byte.

    apt-get install ncbi-rrna-data ncbi-blast+ mmseqs2-examples
    python resources/demo/make_demo_data.py [--out DIR]

Every choice is an xxh3 hash of the accession, so there is no hidden state. See README.md.
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import xxhash
from coresift.corpus.fasta import read_fasta

BLAST = Path("/usr/share/ncbi/data")
PROTEINS = Path("/usr/share/doc/mmseqs2/example-data/DB.fasta.gz")
#: Parents of the pool by (kind, domain): rare kinds are taken whole.
POOL_PARENTS = {"16S": 2400, "18S": 1500, "23S": 900, "28S": 1200, "other": 900}
TASK_PARENTS = 170  # by (kind, domain)
LEAKS = 60

#: Amplicons, family -> (kinds, site after which a read starts, site before which it ends, parents):
#: the Earth Microbiome Project's 515F-806R and Euk1391f-EukBr, and the peptidyl transferase centre
#: of bacterial 23S between two conserved sites (helices 89 and 93).
AMPLICONS = {
    "16S_V4": (("16S",), "GTGYCAGCMGCCGCGGTAA", "ATTAGAWACCCBNGTAGTCC", 7000),
    "18S_V9": (("18S",), "GTACACACCGCCCGTC", "GTAGGTGAACCTGCAGAAGG", 900),
    "23S_PTC": (("23S", "other"), "GGGATAACAGGCTGAT", "GTTCGGTCCCTATC", 500),
}
READ_LENGTHS = (100, 100, 100, 150, 300)  # reads are cut to one length; 300 is a whole amplicon
ERROR_READS = 720  # and one residue in ERROR_RATE of each is another
ERROR_RATE = 8
IUPAC = {"R": "[AG]", "Y": "[CT]", "M": "[AC]", "W": "[AT]", "B": "[CGT]", "N": "."}

KINDS = {"16S": r"\b16S\b", "18S": r"\b18S\b", "23S": r"\b23S\b", "28S": r"\b2[568]S\b"}
UNCLEAR = re.compile(r"mitochondri|chloroplast|plastid|apicoplast|metagenom|symbiont|vector", re.I)
ARCHAEA = re.compile(
    r"archae|Methano|Halobacterium|Haloferax|Halorubrum|Haloarcula|Sulfolob|Thermococc|Pyrococc"
    r"|Thermoplasma|Thermoprote|Pyrobacul|Natron",
    re.I,
)
BACTERIA = re.compile(
    r"bacteri|Bacillus|Pseudomonas|Streptomyces|Escherichia|Vibrio|Lactobacillus|Clostridium"
    r"|Staphylococcus|Streptococcus|Rhizobium|Mycoplasma|Salmonella|Borrelia|Rickettsia"
)


def digest(*parts: object) -> int:
    """64-bit hash of the parts."""
    return xxhash.xxh3_64_intdigest("\0".join(map(str, parts)).encode())


def fraction(*parts: object) -> float:
    """Hash of the parts in [0, 1)."""
    return digest(*parts) / 2**64


def parents(database: str) -> Iterator[tuple[str, str, str]]:
    """(accession, title, sequence) of a BLAST database, in its order."""
    if not (BLAST / f"{database}.nsq").is_file():
        raise SystemExit(f"{BLAST / database}: not found; apt-get install ncbi-rrna-data")
    command = ["blastdbcmd", "-db", database, "-entry", "all", "-outfmt", "%a@@%t@@%s"]
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"BLASTDB": str(BLAST)}
        )
    except FileNotFoundError:
        raise SystemExit("blastdbcmd: not found; apt-get install ncbi-blast+") from None
    assert process.stdout is not None
    for line in process.stdout:
        accession, title, sequence = line.rstrip("\n").split("@@")
        match = re.match(r"\w+\|([^|]+)\|\s*(.*)", title)  # gb|AY175401| title
        if match:
            accession, title = match.groups()
        yield accession, re.sub(r"\s+", " ", title).strip(), sequence


def classify(title: str) -> tuple[str, str]:
    """(kind, domain) read from a title; 'other' where it does not say."""
    kinds = [kind for kind, pattern in KINDS.items() if re.search(pattern, title)]
    kind = kinds[0] if len(kinds) == 1 else "other"
    if kind == "other" or UNCLEAR.search(title):
        return kind, "other"
    if kind in ("18S", "28S"):
        return kind, "Eukaryota"
    if ARCHAEA.search(title):
        return kind, "Archaea"
    return kind, "Bacteria" if BACTERIA.search(title) else "other"


def window(sequence: str, low: int, high: int, *key: object) -> tuple[int, str]:
    """A window of hashed start and log-uniform length in [low, high]: (start, letters)."""
    length = int(low * (high / low) ** fraction("length", *key))
    length = min(length, len(sequence))
    start = int(fraction("start", *key) * (len(sequence) - length + 1))
    if fraction("anchor", *key) < 0.15:  # anchored and rounded: relatives give real duplicates
        start, length = 0, max(30, length // 50 * 50)
    return start, sequence[start : start + length]


def record(accession: str, start: int, letters: str, title: str, tags: str = "") -> tuple[str, str]:
    """Header and sequence of a window; the end is the window's, 1-based and closed."""
    return f"{accession}/{start + 1}-{start + len(letters)} {tags}{title}"[:120], letters


def write(path: Path, records: list[tuple[str, str]]) -> None:
    """FASTA.gz with fixed bytes; one record in two is wrapped at 60."""
    lines = []
    for header, sequence in records:
        lines.append(f">{header}")
        wrapped = digest("wrap", header) % 2
        lines += re.findall(r".{1,60}", sequence) if wrapped else [sequence]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    lengths = sorted(len(s) for _, s in records)
    quartiles = [lengths[int(q * (len(lengths) - 1))] for q in (0, 0.25, 0.5, 0.75, 1)]
    print(f"{path.name}: {len(records)} records, lengths {quartiles}, {path.stat().st_size} bytes")


def make_rna(out: Path) -> None:
    """The two pool files, the labelled windows and the list of planted leaks."""
    groups = defaultdict(list)
    for database in ("SSURef_93.fasta", "LSURef_93.fasta"):
        for accession, title, sequence in parents(database):
            groups[classify(title)].append((digest(accession), accession, title, sequence))
    tasks: list[tuple[str, str]] = []
    test_parents, used = [], set()
    counts: Counter[str] = Counter()
    for (kind, domain), members in sorted(groups.items()):
        if domain == "other":
            continue
        for _, accession, title, sequence in sorted(members)[:TASK_PARENTS]:
            place = fraction("split", accession)
            split = "train" if place < 0.6 else "valid" if place < 0.75 else "test"
            start, letters = window(sequence, 100, 400, "task", accession)
            tags = f"type={kind} domain={domain} split={split} "
            tasks.append(record(accession, start, letters, title, tags))
            used.add(accession)
            counts[f"{kind} {domain} {split}"] += 1
            if split == "test":
                test_parents.append((accession, title, sequence, start, len(letters)))
    pool: dict[int, list[tuple[str, str]]] = {1: [], 2: []}
    for kind, wanted in POOL_PARENTS.items():
        members = [m for (k, _), group in groups.items() if k == kind for m in group]
        members = sorted(m for m in members if m[1] not in used)[:wanted]
        for _, accession, title, sequence in members:
            pool[1 + digest("file", accession) % 2] += pool_windows(accession, title, sequence)
    leaks = []
    for accession, title, sequence, start, length in sorted(
        test_parents, key=lambda row: digest("leak", row[0])
    )[:LEAKS]:
        shift = digest("shift", accession) % 21  # up to 20 residues off the test window
        begin = min(start + shift, len(sequence) - length)
        header, letters = record(accession, begin, sequence[begin : begin + length], title)
        pool[2].append((header, letters))
        leaks.append(f"{header.split()[0]}\t{accession}/{start + 1}-{start + length}")
    pool[2] += [r for r in pool[1] if digest("both", r[0]) % 50 == 0]  # the same record twice
    for number, records in pool.items():
        write(out / f"rna_{number}.fasta.gz", sorted(records, key=lambda r: digest("order", *r)))
    write(out / "rna_tasks.fasta.gz", tasks)
    (out / "planted_leaks.tsv").write_text("pool_id\ttask_id\n" + "\n".join(leaks) + "\n")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    make_amplicons(out, groups, used)


def pool_windows(accession: str, title: str, sequence: str) -> list[tuple[str, str]]:
    """One window a parent, sometimes two; a few whole parents and parent ends; some lower case."""
    found = [record(accession, *window(sequence, 30, 1000, "pool", accession), title)]
    if digest("second", accession) % 4 == 0:
        found.append(record(accession, *window(sequence, 30, 1000, "second", accession), title))
    if digest("whole", accession) % 250 == 0:  # over-long, to be rejected
        found.append(record(accession, 0, sequence, title))
    if digest("end", accession) % 100 == 0:  # over-short, to be rejected
        found.append(record(accession, len(sequence) - 20, sequence[-20:], title))
    if digest("case", accession) % 20 == 0:  # soft-masked as FASTA files often are
        found = [(header, letters.lower()) for header, letters in found]
    return found


def amplicon(sequence: str, family: str, longest: int) -> tuple[int, str] | None:
    """The read behind a family's first site: (start, letters); None where the site is not there."""
    _, *sites, _ = AMPLICONS[family]
    first, last = ("".join(IUPAC.get(letter, letter) for letter in site) for site in sites)
    found = re.search(first, sequence)
    if found is None:
        return None
    start = found.end()
    end = re.compile(last).search(sequence, start)
    stop = min(start + longest, len(sequence) if end is None else end.start())
    return start, sequence[start:stop]


def with_errors(accession: str, letters: str) -> tuple[str, str]:
    """The read with substitutions, and a label a residue: e (an error) or r (right)."""
    noisy, labels = "", ""
    for i, letter in enumerate(letters):
        draw = digest("error", accession, i)
        wrong = draw % ERROR_RATE == 0
        others = [other for other in "ACGT" if other != letter]
        noisy += others[draw // ERROR_RATE % 3] if wrong else letter
        labels += "e" if wrong else "r"
    return noisy, labels


def make_amplicons(
    out: Path, groups: dict[tuple[str, str], list[tuple[int, str, str, str]]], used: set[str]
) -> None:
    """Amplicon reads for the pool, and reads of 16S V4 with planted errors, labelled by residue.

    `groups` has (hash, accession, title, sequence) by (kind, domain); parents in `used` have
    windows in rna_tasks. No read of the pool begins as one of valid or test does without errors.
    """
    labelled: list[tuple[str, str]] = []
    held_out: set[str] = set()
    for _, accession, _, sequence in sorted(
        m for (k, _), g in groups.items() if k == "16S" for m in g
    ):
        read = amplicon(sequence, "16S_V4", 100)
        if accession in used or read is None or len(read[1]) < 100 or set(read[1]) - set("ACGT"):
            continue
        start, letters = read
        place = fraction("split", accession)
        split = "train" if place < 0.5 else "valid" if place < 0.65 else "test"
        noisy, labels = with_errors(accession, letters)
        header = f"{accession}/{start + 1}-{start + 100} split={split} errors={labels}"
        labelled.append((header, noisy))
        used.add(accession)
        if split != "train":
            held_out.add(letters)
        if len(labelled) == ERROR_READS:
            break
    write(out / "rna_errors.fasta.gz", labelled)
    pool = []
    for family, (kinds, *_, wanted) in AMPLICONS.items():
        members = sorted(m for (k, _), g in groups.items() if k in kinds for m in g)
        found: list[tuple[str, str]] = []
        for _, accession, title, sequence in members:
            longest = READ_LENGTHS[digest("read", accession) % len(READ_LENGTHS)]
            read = None if accession in used else amplicon(sequence, family, longest)
            if read is None or len(read[1]) < min(longest, 80) or read[1][:100] in held_out:
                continue
            if digest("case", accession) % 20 == 0:
                read = read[0], read[1].lower()
            found.append(record(accession, *read, title, f"family={family} "))
            if len(found) == wanted:
                break
        print(f"  {family}: {len(found)}, distinct {len({s.upper() for _, s in found})}")
        pool += found
    write(out / "rna_amplicons.fasta.gz", sorted(pool, key=lambda r: digest("order", *r)))


def make_protein(out: Path) -> None:
    """2,500 UniProt records by hash of the accession, headers and lengths as they are."""
    if not PROTEINS.is_file():
        raise SystemExit(f"{PROTEINS}: not found; apt-get install mmseqs2-examples")
    records = [(header, sequence) for _, header, sequence in read_fasta(PROTEINS)]
    write(out / "protein_1.fasta.gz", sorted(records, key=lambda r: digest("protein", r[0]))[:2500])


def main() -> None:
    """Parse the command line and write every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    make_rna(out)
    make_protein(out)


if __name__ == "__main__":
    main()
