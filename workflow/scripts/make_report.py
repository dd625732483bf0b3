"""Rule make_report."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.report import plots
from coresift.report.page import read_curves, read_verdict, render

files, params = snakemake.input, snakemake.params
plots.save(plots.learning_curves(read_curves(params.names, files.metrics)), snakemake.output.curves)
shown = [*files.plots, snakemake.output.curves]
write_text(snakemake.output.page, render(files, shown, params))
lines = [*read_verdict(files, params), f"page: {snakemake.output.page}"]
write_text(snakemake.output.verdict, "\n".join(lines) + "\n")
