# Needs Python 3.11 to 3.13 and make, nothing else: every target makes the virtual
# environment .venv when it is missing and installs into it what requirements/newest.txt pins.
#
#   make test VENV=.venv-lowest CONSTRAINTS=requirements/lowest.txt EXTRAS=test,lint,serve
#
# does the same with the oldest supported versions.

VENV = .venv
BASE =
CONSTRAINTS = requirements/newest.txt
EXTRAS = test,lint,hub,serve,tuner
# How long `make slow` may take; it stops between two tests and says what it left out.
SLOW_SECONDS = 10800
# Which files begin: what one hour's budget left out is reached in another.
TURN := $(shell expr `date +%s` / 3600)
INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint $(CONSTRAINTS)
PYTEST = $(VENV)/bin/python -m pytest
# Most of a test's time is Python's, which uses one core. Not more of them than two,
# however many cores there are: each grows to several gigabytes. A file's tests run in one
# process, which makes once what they share; slow tests share little.
SIDE_BY_SIDE = --numprocesses=2 --dist=loadfile
SLOW_SIDE_BY_SIDE = --numprocesses=2 --dist=worksteal

# What breaks first when the library changes, chosen by time: a minute on two quiet cores.
QUICK_TESTS = $(addprefix tests/keras_convnext/, folding/test_fold.py kernels/test_dense.py \
    test_initializers.py test_inputs.py test_layer_decay.py test_layers.py test_models.py \
    test_models_page.py test_parity_recorded.py test_preprocessing.py test_variants.py \
    inference/test_outputs.py inference/test_sidecars.py weights/test_assign.py \
    weights/test_norm_placement.py weights/test_registry.py weights/test_weights_page.py)
NOT_QUICK = recorded_ones or fresh_process or saved_model_round_trip
PARITY_TESTS = tests/keras_convnext/test_parity_live.py \
    tests/keras_convnext/test_backends.py \
    tests/keras_convnext/segmentation/test_upernet_backends.py \
    tests/keras_convnext/segmentation/test_upernet_live.py \
    tests/keras_convnext/detection/test_parts_live.py \
    tests/keras_convnext/weights/test_timm_live.py \
    tests/keras_convnext/weights/test_writers_live.py \
    tests/keras_convnext/weights/test_writers_of_meta_live.py
INTEROP_TESTS = tests/export/verify/test_other_runtimes.py tests/export/verify/test_c_api.py \
    tests/export/verify/test_openvino_and_onnx.py \
    tests/keras_convnext/test_openvino_backend.py \
    tests/export/verify/test_label_maps_elsewhere.py \
    tests/export/verify/test_objects_elsewhere.py \
    tests/export/verify/test_families_elsewhere.py tests/export/test_targets.py \
    tests/export/verify/test_tflite_micro.py
DEMO = runs/demo
INSTALLED = $(VENV)/installed
DEMO_INSTALLED = $(VENV)/installed-demo
WHAT = --no-build-isolation --editable '.[$(EXTRAS)]'

.PHONY: help demo quick test slow lint lines parity docs notebooks interop addons bench format clean

help:
	@echo "make demo    train on handwritten digits, export, classify: runs/demo"
	@echo "make quick   a choice of the library's tests (a minute)"
	@echo "make test    the tests (minutes)"
	@echo "make slow    the tests that take longer"
	@echo "make lint    ruff and mypy"
	@echo "make lines   count the lines of each package"
	@echo "make parity  compare with timm, transformers and torchvision in .venv-parity"
	@echo "make addons  compare with tensorflow-addons and TensorFlow 2.15 in .venv-addons"
	@echo "make docs    build the documentation: site/index.html"
	@echo "make notebooks  run them: adapt, train, segment, deploy"
	@echo "make interop exported files in OpenVINO, ONNX Runtime and C, in .venv-interop"
	@echo "make bench   measure against the peers in .venv-bench: docs/reference/measurements.md"
	@echo "make format  let ruff put the sources in form"
	@echo "make clean   remove $(VENV), runs/ and what the tools left"

demo: $(DEMO_INSTALLED)
	@rm -rf $(DEMO)
	$(VENV)/bin/python -m training.main --recipe=demo --data=digits --workdir=$(DEMO)
	$(VENV)/bin/python -m export.main --model=$(DEMO)/model.keras \
	    --format=saved_model,tflite --out=$(DEMO)/export
	$(VENV)/bin/python -m training.predict_main \
	    --model=$(DEMO)/export/model_float32.tflite $(DEMO)/pictures/samples/*.png
	@$(VENV)/bin/python -m export.summary_main --workdir=$(DEMO) --out=$(DEMO)/export

quick: $(INSTALLED)
	$(PYTEST) $(SIDE_BY_SIDE) $(QUICK_TESTS) -k "not ($(NOT_QUICK))"

test: $(INSTALLED)
	$(PYTEST) $(SIDE_BY_SIDE)

slow: $(INSTALLED)
	$(PYTEST) $(SLOW_SIDE_BY_SIDE) -m "slow and not network" --time-budget=$(SLOW_SECONDS) \
	    --turn=$(TURN) --durations=10

lint: $(INSTALLED)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

lines:
	@for package in keras_convnext training export; do \
	    echo "$$package: `find $$package -name '*.py' -exec cat {} + | wc -l` lines in" \
	        "`find $$package -name '*.py' | wc -l` files"; \
	done

# In an environment of its own upon .venv: PyTorch is larger than all the rest.
parity: $(INSTALLED)
	@$(MAKE) --no-print-directory VENV=.venv-parity BASE=$(VENV) EXTRAS=test,parity \
	    CONSTRAINTS=requirements/parity.txt .venv-parity/installed
	.venv-parity/bin/python -m pytest -m "not network" $(PARITY_TESTS)

# Exported files in OpenVINO, in ONNX Runtime and in a program of plain C.
interop: $(INSTALLED)
	@$(MAKE) --no-print-directory VENV=.venv-interop BASE=$(VENV) EXTRAS=interop \
	    CONSTRAINTS=requirements/interop.txt .venv-interop/installed
	.venv-interop/bin/python -m pytest -m "not network" $(INTEROP_TESTS)

# tensorflow-addons needs another TensorFlow, another Keras, and Python 3.11 itself.
addons: $(INSTALLED) .venv-addons/installed
	ADDONS_PYTHON=.venv-addons/bin/python $(PYTEST) -m "not network" tests/addons

.venv-addons/installed: requirements/addons.txt
	@if ! python3.11 -c '' 2>/dev/null; then \
	    echo "make: tensorflow-addons runs on Python 3.11 at most; install python3.11" >&2; \
	    exit 1; \
	fi
	python3.11 -m venv --clear .venv-addons
	.venv-addons/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements/addons.txt tensorflow-cpu tensorflow-addons
	@touch $@

# In an environment of its own, whose tool reads the sources without importing them.
docs:
	@$(MAKE) --no-print-directory VENV=.venv-docs CONSTRAINTS=requirements/docs.txt \
	    WHAT="--requirement requirements/docs.txt" .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build
	@echo "The documentation is site/index.html; for its search: python -m http.server -d site"

notebooks: $(INSTALLED)
	$(PYTEST) -m "" tests/documentation/test_notebooks.py

# torchvision's own dependencies would bring another PyTorch.
bench: $(INSTALLED) .venv-bench/installed
	$(VENV)/bin/python benchmarks/main.py --out=runs/benchmarks
	$(VENV)/bin/python benchmarks/page.py runs/benchmarks/results.json

.venv-bench/installed: requirements/bench.txt
	$(VENV)/bin/python -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements/bench.txt torch numpy pillow pyyaml safetensors \
	    huggingface_hub openvino onnxruntime onnx onnxscript transformers
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements/bench.txt --no-deps timm torchvision
	@touch $@

format: $(INSTALLED)
	$(VENV)/bin/python -m ruff check --fix .
	$(VENV)/bin/python -m ruff format .

clean:
	rm -rf $(VENV) .venv-addons .venv-bench .venv-docs .venv-interop .venv-parity site runs build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache

# pip alone cannot tell a half-made environment from a whole one, so one that does not
# answer is made anew; the stamp is written last. What the environment BASE has already
# is used from there: TensorFlow alone takes 2 GB. The demo does not wait for what only
# tests and tools need; what comes after it, the server, is there.
$(DEMO_INSTALLED): EXTRAS = demo,serve
$(INSTALLED) $(DEMO_INSTALLED): setup.py $(CONSTRAINTS)
	@set -e; \
	for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python none; do \
	    if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	        >/dev/null 2>&1; then break; fi; \
	done; \
	if [ $$python = none ]; then \
	    echo "make: found no Python 3.11, 3.12 or 3.13; install one, or name it:" \
	        "make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	if ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
	    $$python -m venv --clear $(VENV); \
	fi; \
	if [ -n "$(BASE)" ]; then \
	    packages="import sysconfig; print(sysconfig.get_path('purelib'))"; \
	    echo "import site; site.addsitedir('`$(BASE)/bin/python -c "$$packages"`')" \
	        > `$(VENV)/bin/python -c "$$packages"`/base.pth; \
	fi; \
	echo "Installing into $(VENV) what $(CONSTRAINTS) pins; the first time takes minutes."; \
	$(INSTALL) pip setuptools wheel; \
	PYTHONWARNINGS="ignore:Editable installation" \
	$(INSTALL) $(WHAT)
	@touch $@
