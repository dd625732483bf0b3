"""Rule validate_stability."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.report.plots import save
from coresift.tables import read_table
from coresift.validate.plots import stability
from coresift.validate.stability import SCORES, stability_table
from coresift.validate.tables import SETTING_SCORE

files, params = snakemake.input, snakemake.params
others = [
    (factor, value, read_table(path, SETTING_SCORE))
    for (factor, value), path in zip(params.changes, files.others, strict=True)
]
table = stability_table(
    read_table(files.reference, SETTING_SCORE), others, params.top, params.length_bins
)
write_text(snakemake.output.table, table.write_csv())
save(stability(table, SCORES), snakemake.output.plot)
