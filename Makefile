# make demo   certify the default model on real handwritten digits
# make test   run the tests
# make check  lint, types and tests: what CI runs
# make faults kill, stop, starve and spoil training runs by the hundred, and count what survives
# make soundness  attack every bound at its border a million times, plant bugs, feed it hostile files
# make kernels  every promise of the native kernels, for every instruction set of this CPU
# make cuda   every promise of the CUDA kernels, on a GPU
# make bench  time the ops against torch.cdist, plain torch and what the CPU can do
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soundness faults kernels cuda bench lint types check clean

demo: .venv/installed
	@$(BIN)/python examples/demo.py

# Two workers, one thread each; where a test wants two, they sleep when they wait, as cores are taken.
# A file's tests stay together: they share what is slow to make.
test: .venv/developing
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile

faults: .venv/developing
	$(BIN)/python -m pytest tests/faults tests/test_halving.py tests/test_processes.py tests/test_training.py tests/test_cli.py --full -q

soundness: .venv/developing
	$(BIN)/python -m pytest tests/soundness tests/hostile --full -q

kernels: .venv/developing
	$(BIN)/python -m pytest tests/test_benchmarks.py tests/test_native_ops.py tests/test_native_errors.py tests/test_line_ops.py tests/test_native_build.py tests/test_build_cuda.py tests/test_cuda_emulated.py --full -q

cuda: .venv/developing
	ZOO_OPS=native $(BIN)/python -m pytest tests/test_cuda.py -q

bench: .venv/installed
	@$(BIN)/python benchmarks/ops.py

lint: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/developing
	$(BIN)/pyright

check: lint types test

clean:
	rm -rf .venv demo

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("the zoo needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
