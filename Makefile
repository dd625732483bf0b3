# `make demo` and `make test` create everything they need under .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2
STAMP := $(VENV)/.installed
PARALLEL := -n $(CORES) --dist loadfile --no-loadscope-reorder

.PHONY: demo test types tests test-long test-slurm demo-slurm lint docs study study-gpu-short clean $(foreach m,rna protein,study-$(m) study-gpu-$(m) study-beside-$(m))

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
	$(BIN)/snakefmt --check Snakefile rules
	$(MAKE) --jobs=2 types tests

# Half a minute of one core, beside the tests.
types: $(STAMP)
	$(BIN)/mypy

tests: $(STAMP)
	$(BIN)/pytest $(PARALLEL)

# The dearest whole runs: 7 minutes more.
test-long: $(STAMP)
	$(BIN)/pytest $(PARALLEL) -m long

# A real Slurm on this machine, from Debian's packages: see docs/slurm.md.
test-slurm: $(STAMP)
	$(BIN)/pytest -m slurm tests/slurm

demo-slurm: $(STAMP)
	$(BIN)/python tests/slurm/cluster.py $(BIN)/snakemake --profile slurm --nolock \
		--slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# docs/config.md and config/schema.json, from the settings.
docs: $(STAMP)
	$(BIN)/python -m coresift.docs

# The study (docs/study/README.md). Every step can be stopped and goes on; the page follows each.
STUDY_STEPS ?= study_regime study_regime_pool study_screen study_finalists study_ablations validate study_tasks study_complexity study_scaling beside
# Runs beside: name, overlay, what is changed (+ between two sections). Fine-tuning has as many steps
# whatever the size of D_sub; redraw_* says what another D_sub of the same size does.
STUDY_BESIDE ?= no_finetuning,ablation,finetune={"epochs":0} finetuning_10,ablation,finetune={"epochs":10} \
	redraw_1,ablation,subset={"seed":1} redraw_2,ablation,subset={"seed":2} \
	subset_500,ablation,subset={"size":500}+finetune={"epochs":4} \
	subset_8000,ablation,subset={"size":8000}+finetune={"epochs":0.25} \
	subset_20000,ablation,subset={"size":20000}+finetune={"epochs":0.1} \
	equal_epochs,epochs,seed=42
GPU_SIZE ?= 8m
SNAKEMAKE_STUDY = $(BIN)/snakemake --cores $(CORES) --keep-going --quiet reason host

# $(1): modality, $(2): run, $(3): overlays.
define study
	set -e; for step in $(STUDY_STEPS); do \
		if [ $$step = beside ]; then $(MAKE) study-beside-$(1); else \
		$(SNAKEMAKE_STUDY) --configfile config/study_$(1).yaml $(3) --config run=$(2) -- $$step; fi; \
		$(SNAKEMAKE_STUDY) --configfile config/study_$(1).yaml $(3) --config run=$(2) -- study; \
		cp -r results/$(2)/study/page/* docs/study/; \
	done
endef

study: study-rna study-protein

study-rna: STUDY_STEPS += study_mixture study_mixture_top study_power study_tasks_structure
study-rna study-protein: study-%: $(STAMP)
	$(call study,$*,study_$*,config/study.yaml $(wildcard config/study_finalists_$*.yaml))

study-gpu-rna study-gpu-protein: override STUDY_STEPS := $(filter-out beside,$(STUDY_STEPS))
study-gpu-rna study-gpu-protein: study-gpu-%: $(STAMP)
	$(call study,$*,study_$*_$(GPU_SIZE),config/study.yaml config/study_gpu.yaml config/study_gpu_$*.yaml $(filter %_$(GPU_SIZE).yaml,$(wildcard config/study_gpu_*.yaml)))

# On one GPU: 20 of its 70 models took 8 minutes with CORES=9 under CUDA MPS (docs/slurm.md).
study-gpu-short: override STUDY_STEPS := study_finalists
study-gpu-short: $(STAMP)
	$(call study,rna,study_rna_gpu_short,config/study_gpu_short.yaml)

study-beside-rna study-beside-protein: study-beside-%: $(STAMP)
	set -e; for given in $(foreach b,$(STUDY_BESIDE),'$(b)'); do \
		name=$${given%%,*}; rest=$${given#*,}; overlay=$${rest%%,*}; change=$${rest#*,}; \
		files="config/study_$*.yaml config/study_$$overlay.yaml"; \
		case $$overlay in epochs) step=study_epochs;; *) step=study_changed;; esac; \
		for target in $$step study_runs; do \
			$(SNAKEMAKE_STUDY) --configfile $$files --config run=study_$*_$$name $$(echo "$$change" | tr + ' ') -- $$target; \
		done; \
	done

# The pictures in the README. The page's, of a finished demo, needs chromium and pngquant; the DAG's graphviz.
docs/report.png: results/demo/report/report.html
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1040,720 --screenshot=$@ file://$(abspath $<)
	pngquant --force --output $@ 64 $@

docs/dag.svg: $(STAMP) Snakefile rules/*.smk config/demo.yaml
	$(BIN)/snakemake --rulegraph --quiet all | tred | dot -Grankdir=LR -Gbgcolor=transparent -Nfontname=Helvetica -Tsvg > $@

clean:
	rm -rf results .snakemake
