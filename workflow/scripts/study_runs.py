"""Rule study_runs."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT
from coresift.dag.code import PACKAGE
from coresift.files import read_json, write_json
from coresift.heldout.masks import Masks
from coresift.report.identity import identity_tables
from coresift.report.notes import trainings_table
from coresift.study.facts import study_facts
from coresift.study.gather import all_runs
from coresift.study.tables import RUN
from coresift.tables import read_table, write_table

files, params, output = snakemake.input, snakemake.params, snakemake.output
sets = read_table(files.sets, HELD_OUT)
write_table(output.runs, all_runs(files, params, sets, Masks(**params.masks)), RUN)
validation = dict(zip(params.validation, files.validation, strict=True))
described = read_json(files.corpus), read_json(files.sources)
facts = study_facts(
    params,
    *described,
    validation,
    identity_tables(files, params),
    trainings_table(params.cells, files.metrics),
    PACKAGE.parents[1],
)
write_json(output.facts, facts)
