# Every target makes .venv when it is missing; PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1
# newer pip only talks about itself otherwise
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help demo sft-demo test test-engines check docs notebook bench clean

help:
	@echo "make demo   the whole best-of-N job offline, on the embedded models"
	@echo "make sft-demo  data selection in miniature: pool, choice, training, both plots (20 minutes, 2 cores)"
	@echo "make test   all tests that need no GPU and no model hub"
	@echo "make test-engines  tests of vLLM and Ray, in an environment of their own (Python 3.11, CPU, 4 GB)"
	@echo "make check  style, types, layers"
	@echo "make docs   regenerate the generated pages, build the site into build/site, warnings are errors"
	@echo "make notebook  run the tutorial, and write its outputs and pictures anew (minutes)"
	@echo "make bench  the benchmarks behind docs/performance.md"

# torch first and exactly: asked for loosely it brings several GB of GPU libraries
.venv/installed-demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[demo]'
	touch $@

.venv/installed-test: .venv/installed-demo
	$(BIN)/pip install -q -e '.[test]'
	touch $@

demo: .venv/installed-demo
	$(BIN)/prm-eval demo

.venv/installed-sft: .venv/installed-demo
	$(BIN)/pip install -q -e '.[demo,sft]'
	touch $@

sft-demo: .venv/installed-sft
	$(BIN)/prm-eval sft demo

test: .venv/installed-test
	$(BIN)/python -m pytest tests -n auto --maxprocesses 4 --dist worksteal

# status 3: what they need cannot be had here, and the reason was said
test-engines:
	@status=0; $(PYTHON) tests/engines/environment.py .venv-engines || status=$$?; \
	if [ $$status = 3 ]; then exit 0; elif [ $$status != 0 ]; then exit $$status; fi; \
	.venv-engines/bin/python -m pytest tests/engines

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-test
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W --keep-going -E -q -b html -d build/doctrees docs build/site
	@echo "build/site/index.html"

# minutes: runs the pages that show outputs or pictures, and writes both anew
notebook: .venv/installed-test
	$(BIN)/python docs/notebook.py docs/tutorial.md docs/figures.md

bench: .venv/installed-test
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv .venv-engines build dist demo-run sft-demo
