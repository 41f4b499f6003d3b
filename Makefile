# Every command starts from nothing: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test test-slow lint types attack clean

# Behind layer 5, the last one, hardly a block is left to drop: it is not worth a cut.
demo: $(INSTALLED)
	$(BIN)/bskim export examples/minilm-l6-squad --out engines --skim-layers 0,1,2,3,4
	$(BIN)/bskim bench engines --dataset squad --limit 500 --json bench.json
	$(BIN)/bskim ask engines --file examples/passage.txt \
	    --question "Who wrote down the storms and ships?"

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Figures over a thousand questions, as the README quotes them, and runs of minutes.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/python -m pytest -m slow tests/test_api.py

# Hostile and unlucky input: a right answer or an error of ours, nothing executed, nothing lost. In the end a crowd.
# Each is seeded, and goes on with a case by --first; kills.py goes on by itself.
attack: $(INSTALLED)
	$(BIN)/python tests/attack/make_bundle.py build/attack
	$(BIN)/python tests/attack/bundles.py build/attack --count 10000
	$(BIN)/python tests/attack/checkpoints.py --count 3000
	$(BIN)/python tests/attack/data_files.py --count 5000
	$(BIN)/python tests/attack/arguments.py build/attack --count 3000
	$(BIN)/python tests/attack/kills.py --count 1000
	$(BIN)/python tests/attack/load.py build/attack --callers 16 --count 5000

clean:
	rm -rf .venv engines bench.json

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[export,train,test]'
	touch $@
