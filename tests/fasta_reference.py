"""FASTA read one line after the other: what the block reader must give, written to be plain."""

import gzip
import zlib

BLANKS = bytes(range(33))


def parse(data):
    """(header, id, sequence) of each record, the sequence in bytes.

    Raises:
        ValueError: not FASTA, or no record.
    """
    records = []
    for number, line in enumerate(
        data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), start=1
    ):
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if line[:1] == b">":
            header = line[1:].strip(BLANKS)
            word = header
            for i, character in enumerate(header):
                if character <= 32:
                    word = header[:i]
                    break
            records.append([*(w.decode("utf-8", "backslashreplace") for w in (header, word)), b""])
        elif line and line[:1] != b"#":
            if not records:
                raise ValueError(f"line {number}: ")
            words = line.split()
            if len(words) > 1 and words[0].isdigit() and words[1][:1] != b">":
                words = words[1:]
            if len(words) > 1 and words[-1].isdigit():
                words = words[:-1]
            records[-1][2] += b"".join(words)
    if not records:
        raise ValueError("empty file")
    return [tuple(record) for record in records]


def unpack(data, name):
    """A file's bytes, decompressed.

    Raises:
        ValueError: cut or broken.
    """
    if not name.endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("compressed") from error
