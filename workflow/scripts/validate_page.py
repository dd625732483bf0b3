"""Rule validate_page."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.validate.page import render

files, params = snakemake.input, snakemake.params
text = render(
    params.run,
    params.confidence,
    params.way,
    params.damping,
    dict(zip(params.tables, files.tables, strict=True)),
    dict(zip(params.plots, files.plots, strict=True)),
)
write_text(snakemake.output[0], text)
