# `make help` lists what can be done. Everything lands in .venv and build; `make clean` removes both.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
DURATION ?= 60

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps

# $(call install,<arguments of pip install>): quiet, with the log shown only when it fails
install = $(BIN)/python -m pip --disable-pip-version-check install $(1) >$(VENV)/pip.log 2>&1 || \
	{ tail -n 30 $(VENV)/pip.log >&2; echo "error: pip failed; the whole log is $(VENV)/pip.log" >&2; exit 1; }

# Where ROS 2 comes from ("sourced" or "wheels") and which Python; a change of either makes a new environment.
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),help)),)
  ROS := $(or $(shell tools/find_ros.sh),$(error no usable ROS 2))
  PYTHON_VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),none)
endif
# On a sourced ROS 2 the linker must be told of what was built; the wheels bring Python that knows.
OVERLAY := $(if $(filter sourced,$(ROS)),source $(VENV)/local_setup.bash &&)
NEW_VENV := $(STAMPS)/venv-$(ROS)-$(PYTHON_VERSION)

# Python modules are used in place; only a change of these needs a build.
BUILD_INPUTS := CMakeLists.txt package.xml tools/build.sh tools/repair_wheels.py tools/executable.py.in $(wildcard msg/*.msg srv/*.srv tools/tf2_msgs/*.* tools/tf2_msgs/msg/*)

.PHONY: help
help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  settings of demo: TASK=reach FAMILY=flow (or planner, servo, pid) ROBOT=sim (or feetech-sim) DURATION=60 (seconds) BAG=folder (record it); PYTHON=python3 (3.11 or 3.12)"

.PHONY: setup
setup: $(STAMPS)/build ## Make .venv with ROS 2 (wheels, unless one is sourced) and build the package into it

.PHONY: learn
learn: setup $(STAMPS)/learn ## Install what `so-arm train` needs as well (torch)

.PHONY: demo
demo: setup ## Run the full stack in simulation for DURATION seconds and print how it did
	$(BIN)/so-arm demo --duration $(DURATION) $(if $(TASK),--task $(TASK)) $(if $(FAMILY),--family $(FAMILY)) $(if $(ROBOT),--robot $(ROBOT)) $(if $(BAG),--bag $(BAG))

.PHONY: models
models: setup ## Write docs/models.md from the bundles
	$(BIN)/so-arm models

.PHONY: latency
latency: setup ## Measure the bundles' inference, on a quiet machine, and write docs/models.md
	$(BIN)/python bench/models.py
	$(BIN)/so-arm models

.PHONY: test
test: setup $(STAMPS)/learn $(STAMPS)/dev ## Run all tests; PYTEST_ARGS="-k name" to choose
	$(OVERLAY) $(BIN)/python $(if $(PYTEST_ARGS),-m pytest $(PYTEST_ARGS),tools/run_tests.py)

.PHONY: lint
lint: setup $(STAMPS)/dev ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: mutants
mutants: setup $(STAMPS)/dev $(STAMPS)/mutants ## Change the safety code bit by bit and see whether the tests notice (38 minutes with JOBS=1)
	$(OVERLAY) OMP_NUM_THREADS=1 $(BIN)/python tools/mutants.py

.PHONY: clean
clean: ## Remove .venv and everything built
	rm -rf $(VENV) build

$(NEW_VENV):
	tools/check_system.sh $(PYTHON)
	@echo "making $(VENV): Python $(PYTHON_VERSION), ROS 2 from $(ROS)"
	@$(PYTHON) -m venv --clear $(if $(filter sourced,$(ROS)),--system-site-packages) $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# A sourced ROS 2 has everything in ros.txt, and mostly colcon.
$(STAMPS)/ros: requirements/ros.txt requirements/build.txt requirements/constraints.txt $(NEW_VENV)
	@echo "installing ROS 2 and colcon"
ifeq ($(ROS),wheels)
	@$(call install,-r requirements/build.txt -r requirements/ros.txt)
else
	@if ! command -v colcon >/dev/null; then $(call install,-r requirements/build.txt); fi
endif
	@touch $@

$(STAMPS)/runtime: requirements/runtime.txt requirements/model.txt requirements/constraints.txt $(STAMPS)/ros
	@echo "installing the simulator and the runtime libraries"
	@$(call install,-r requirements/runtime.txt)
	@$(call install,--no-deps --ignore-requires-python -r requirements/model.txt)
	@touch $@

$(STAMPS)/learn: requirements/learn.txt requirements/constraints.txt $(STAMPS)/runtime
	@echo "installing the training libraries"
	@$(call install,-r requirements/learn.txt)
	@touch $@

$(STAMPS)/dev: requirements/dev.txt requirements/constraints.txt $(STAMPS)/runtime
	@echo "installing the test and lint tools"
	@$(call install,-r requirements/dev.txt)
	@touch $@

$(STAMPS)/mutants: requirements/mutants.txt requirements/constraints.txt $(STAMPS)/runtime
	@echo "installing the mutation check"
	@$(call install,-r requirements/mutants.txt)
	@touch $@

# The names of the installed data files; rewritten only when one comes or goes.
$(STAMPS)/data-files: FORCE | $(NEW_VENV)
	@find launch config bundles urdf -type f -not -path '*/__pycache__/*' 2>/dev/null | sort >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

.PHONY: FORCE
FORCE:

$(STAMPS)/build: $(BUILD_INPUTS) $(STAMPS)/runtime $(STAMPS)/data-files
	@echo "building so_arm_policy"
	@tools/build.sh $(VENV) $(ROS)
	@touch $@
	@echo "ready: $(BIN)/so-arm --help"
