# `make demo` and `make test` create everything they need under .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test test-slurm lint docs clean

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --logger=coresift
	@echo "page: results/demo/report/report.html"

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

# docs/config.md and config/schema.json, from the settings.
docs: $(STAMP)
	$(BIN)/python -m coresift.docs

# The pictures in the README. The page's, of a finished demo, needs chromium and pngquant; the DAG's graphviz.
docs/report.png: results/demo/report/report.html
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1040,720 --screenshot=$@ file://$(abspath $<)
	pngquant --force --output $@ 64 $@

docs/dag.svg: $(STAMP) Snakefile rules/*.smk config/demo.yaml
	$(BIN)/snakemake --rulegraph --quiet all | tred | dot -Grankdir=LR -Gbgcolor=transparent -Nfontname=Helvetica -Tsvg > $@

clean:
	rm -rf results .snakemake
