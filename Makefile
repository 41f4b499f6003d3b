# Every command starts from nothing: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
MAKEFLAGS += --no-print-directory

# Of libbskim, in cpp/: configure and build by a preset of CMakePresets.json.
CPP_PRESET = cmake --preset $(1) -DBSKIM_PYTHON=$(CURDIR)/$(BIN)/python -DBSKIM_BUNDLE=$(CURDIR)/$(TINY) \
    && cmake --build --preset $(1) -j $(JOBS)
# A tiny random model, exported.
TINY := build/attack
JOBS ?= $(shell nproc)
# How long each fuzzer runs.
SECONDS ?= 600
FUZZERS := tokenizer_json manifest text

CPP_FORMAT = find cpp -name '*.[ch]pp' -o -name '*.[ch]' | xargs $(BIN)/clang-format

.PHONY: demo test test-slow lint types attack cpp cpp-sanitize cpp-fuzz cpp-format clean

# Behind layer 5, the last one, hardly a block is left to drop: it is not worth a cut.
demo: $(INSTALLED)
	$(BIN)/bskim export examples/minilm-l6-squad --out engines --skim-layers 0,1,2,3,4
	$(BIN)/bskim bench engines --dataset squad --limit 500 --json bench.json
	$(BIN)/bskim ask engines --file examples/passage.txt \
	    --question "Who wrote down the storms and ships?"

# Of both languages, and in a browser. Where the tests that need libbskim or Chromium are skipped without, here they are not.
test: cpp
	scripts/dependencies.sh --install page
	BSKIM_CPP=required BSKIM_PAGE=required $(BIN)/python -m pytest -n 2 --dist loadfile

# Figures over a thousand questions, as the README quotes them, and runs of minutes.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CPP_FORMAT) --dry-run -Werror

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/python -m pytest -m slow tests/test_api.py

# Hostile and unlucky input: a right answer or an error of ours, nothing executed, nothing lost. In the end a crowd.
# Each is seeded, and goes on with a case by --first; kills.py goes on by itself.
attack: $(INSTALLED)
	$(BIN)/python tests/attack/make_bundle.py $(TINY)
	$(BIN)/python tests/attack/bundles.py $(TINY) --count 10000
	$(BIN)/python tests/attack/checkpoints.py --count 3000
	$(BIN)/python tests/attack/data_files.py --count 5000
	$(BIN)/python tests/attack/arguments.py $(TINY) --count 3000
	$(BIN)/python tests/attack/kills.py --count 1000
	$(BIN)/python tests/attack/load.py $(TINY) --callers 16 --count 5000
	$(BIN)/python tests/attack/service.py hostile $(TINY) --minutes 5 --connections 300 --rate 50
	$(BIN)/python tests/attack/map_kills.py $(TINY) --rows 20000 --kills 5

# libbskim and its own tests, in build/cpp. Its ONNX Runtime and OpenVINO are those of .venv.
cpp: $(INSTALLED) $(TINY)/manifest.json
	scripts/dependencies.sh --install
	cd cpp && $(call CPP_PRESET,release) && ctest --preset release

# The same tests while the compiler's sanitizers watch: memory, then threads.
cpp-sanitize: $(INSTALLED) $(TINY)/manifest.json
	scripts/dependencies.sh --install
	cd cpp && $(call CPP_PRESET,address) && ctest --preset address
	cd cpp && $(call CPP_PRESET,thread) && ctest --preset thread

# Goes on with what earlier runs found to be worth trying, in build/fuzz.
cpp-fuzz: $(INSTALLED) $(TINY)/manifest.json
	scripts/dependencies.sh --install build fuzz
	cd cpp && $(call CPP_PRESET,fuzz)
	$(BIN)/python scripts/fuzz_seeds.py build/fuzz $(TINY)
	for fuzzer in $(FUZZERS); do scripts/cpp_fuzz.sh $$fuzzer $(SECONDS) || exit 1; done

cpp-format: $(INSTALLED)
	$(CPP_FORMAT) -i

# Of an older format, it would not be a bundle any more.
$(TINY)/manifest.json: bskim_export/bundle/manifest.py | $(INSTALLED)
	$(BIN)/python tests/attack/make_bundle.py $(TINY)

clean:
	rm -rf .venv engines bench.json build/cpp build/cpp-address build/cpp-thread build/cpp-fuzz

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[export,train,test]'
	touch $@
