"""Rule summarise_corpus."""

from coresift.dag.logs import start

start(snakemake.log[0])

import logging
import sys

from coresift.corpus.summary import as_text, duplicate_ids, summarise
from coresift.corpus.tables import REJECT, REMOVED
from coresift.files import write_json, write_text
from coresift.tables import join_tables

files = snakemake.input
twice = duplicate_ids(files.distinct)
write_text(snakemake.output.duplicate_ids, twice.write_csv(separator="\t"))
join_tables(snakemake.output.rejects, files.rejects, REJECT)
n_removed = join_tables(snakemake.output.removed, files.removed, REMOVED)
summary = summarise(
    files.reports, files.distinct, files.pool, files.heldout, twice.height, n_removed
)
write_json(snakemake.output.summary, summary)
logging.getLogger("coresift").info("%s", as_text(summary))
print(as_text(summary), file=sys.stderr)
