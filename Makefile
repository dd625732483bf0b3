# `make demo` and `make test` create everything they need under .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test test-slurm lint clean

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: $(STAMP)
	$(BIN)/snakemake --cores $(CORES)
	@echo "results: results/demo/report/report.html"

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/pytest -n $(CORES) --dist loadfile

# A real Slurm on this machine, from Debian's packages: see docs/slurm.md.
test-slurm: $(STAMP)
	$(BIN)/pytest -m slurm tests/slurm
	$(BIN)/python tests/slurm/cluster.py $(BIN)/snakemake --profile slurm --nolock \
		--slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# The picture in the README; needs graphviz.
docs/dag.svg: $(STAMP) Snakefile rules/*.smk config/demo.yaml
	$(BIN)/snakemake --rulegraph --quiet all | tred | dot -Grankdir=LR -Gbgcolor=transparent -Nfontname=Helvetica -Tsvg > $@

clean:
	rm -rf results .snakemake
