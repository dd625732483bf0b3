"""Rule summarise_corpus."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.corpus.summary import duplicate_ids, summarise
from coresift.io import REJECT, REMOVED, read_tables, write_json, write_table, write_text

files = snakemake.input
twice = duplicate_ids(files.distinct)
write_text(snakemake.output.duplicate_ids, twice.write_csv(separator="\t"))
write_table(snakemake.output.rejects, read_tables(files.rejects, REJECT), REJECT)
removed = read_tables(files.removed, REMOVED)
write_table(snakemake.output.removed, removed, REMOVED)
summary = summarise(
    files.reports, files.distinct, files.pool, files.clusters, twice.height, removed.height
)
write_json(snakemake.output.summary, summary)
