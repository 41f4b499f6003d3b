# Both commands start from nothing: they make .venv and install what they need.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test test-slow lint clean

# Calibration left the predictors of layers 0 and 5 of the example off: those two are not worth cutting it at.
demo: $(INSTALLED)
	$(BIN)/bskim-export examples/minilm-l6-squad --out engines --skim-layers 1,2,3,4
	$(BIN)/bskim-bench engines --dataset squad --limit 500 --json bench.json
	$(BIN)/bskim-ask engines --file examples/passage.txt \
	    --question "Who wrote down the storms and ships?"

test: $(INSTALLED)
	$(BIN)/python -m pytest

# Parity and invariance over a thousand questions, as the README quotes them.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv engines bench.json

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[export,train,test]'
	touch $@
