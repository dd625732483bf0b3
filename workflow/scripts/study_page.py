"""Rule study."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import atomic_directory, read_json
from coresift.study.tables import RUN
from coresift.study.write import joined, write_study
from coresift.tables import read_table

files, params = snakemake.input, snakemake.params
parts = {
    label: (read_table(runs, RUN), read_json(facts))
    for label, runs, facts in zip(params.labels, files.runs, files.facts, strict=True)
}
with atomic_directory(snakemake.output[0]) as temporary:
    write_study(joined(parts), temporary, params.name)
