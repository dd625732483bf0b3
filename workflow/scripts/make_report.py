"""Rule make_report."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.report.curves import learning_curves, read_curves
from coresift.report.page import render, unigram_loss, verdict_text
from coresift.report.plots import save

files, params, output = snakemake.input, snakemake.params, snakemake.output
save(learning_curves(read_curves(params.names, files.metrics), unigram_loss(files)), output.curves)
write_text(output.page, render(files, [*files.plots, output.curves], params))
write_text(output.verdict, verdict_text(files, params, output.page))
