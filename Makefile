# Everything here sets itself up first: a virtual environment in .venv and, as root, missing system packages.
# Once that is done nothing needs the network.

PYTHON ?=
export PYTHON

VENV := .venv
RUN := $(VENV)/bin/python
SETUP := scripts/setup.sh
CLUSTER := PYTHONPATH=tests $(RUN) -m e2e.cluster
NODES_docker := kactus bridge
NODES_containerd := containerd
MODE ?= delegate
SYSTEM_PLUGIN ?=
ARGS ?=
JOBS ?= 2
RUNTIME ?=
export RUNTIME

.DEFAULT_GOAL := help
.PHONY: help demo unit fuzz mutations test coverage e2e cluster bench lint fmt rpm deb lock test-packages release setup clean
.PHONY: venv node

help: ## Show this list
	@echo "podagent: adds and removes network interfaces of running pods"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: PYTHON=python3.12 (default: the first of python3, python3.13 ... python3.10 that will do)"
	@echo "           JOBS=2, so many tests at a time; 0: in the foreground, for a debugger"
	@echo "           RUNTIME=docker or RUNTIME=containerd: the demo, tests and clusters run on that one"
	@echo "           JOBS=1 of e2e: one cluster after the other"

demo: venv ## See it work on real containers: the example of the README (root; MODE=delegate or system)
	@$(SETUP) demo
	@PYTHONPATH=tests $(RUN) -m demo --mode $(MODE) $(RUNTIME:%=--runtime=%)

unit: venv ## Run the unit tests: no root, no Docker, under a minute. ARGS="-k watch" chooses
	@$(RUN) -m pytest tests/unit -n $(JOBS) $(ARGS)

fuzz: venv ## Read hostile input for long: FUZZ_EXAMPLES=100000 for each reader; ARGS=--hypothesis-seed=1 repeats a run
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-20000} $(RUN) -m pytest tests/unit/fuzz -n $(JOBS) --timeout 0 $(ARGS)

mutations: venv ## Take out one defence after the other, and see that tests turn red for each (under a minute)
	@PYTHONPATH=tests $(RUN) -m mutations

test: venv ## Run unit and functional tests; without root, those that need it are skipped. ARGS="-k watch" chooses
	@[ "$$(id -u)" != 0 ] || $(SETUP) runtimes
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

coverage: venv ## Run the unit tests; fails if they reach too little of a package, by line and branch
	@$(RUN) -m pytest tests/unit -n $(JOBS) --dist loadfile --cov --cov-report= --cov-fail-under=0 $(ARGS)
	@status=0; for file in src/podagent/*/__init__.py; do \
	    package=$${file%/*}; printf '%-24s' $$package; \
	    $(VENV)/bin/coverage report --format=total --include="$$package/*" || status=1; \
	done; printf '%-24s' all; $(VENV)/bin/coverage report --format=total || status=1; exit $$status

e2e: venv ## Run the tests on a real Kubernetes node of its own (root, Debian 12); ARGS="-k static" chooses
	@$(SETUP) e2e
	@$(CLUSTER) test --jobs=$(JOBS) $(NODES_$(RUNTIME):%=--kind=%) -- $(ARGS)

cluster: RUNTIME := $(or $(RUNTIME),$(SYSTEM_PLUGIN:%=docker))
cluster: venv ## Start such a node, with kactus and the agent, and a shell on it (SYSTEM_PLUGIN=bridge: without kactus; RUNTIME=containerd: a bridge on containerd)
	@$(SETUP) cluster
	@$(CLUSTER) up $(addprefix --kind=,$(or $(filter containerd,$(RUNTIME)),$(SYSTEM_PLUGIN),$(RUNTIME:docker=kactus)))

bench: node venv ## Measure the agent beside the bare CNI plugin (root; about two minutes)
	@$(RUN) -m benchmarks.bench $(ARGS)

lint: venv ## Check style, types, shell scripts and the direction of imports, by the hooks of .pre-commit-config.yaml
	@$(VENV)/bin/pre-commit run --all-files

fmt: venv ## Format the code, and fix what the linter can
	@$(RUN) -m ruff check --fix-only --quiet .
	@$(RUN) -m ruff format .

rpm: venv ## Build the RPM package, into dist/ (ARCH=aarch64: for that architecture)
	@scripts/build-rpm.sh

deb: venv ## Build the Debian package, into dist/
	@scripts/build-deb.sh

test-packages: venv ## Build both packages, and try them in machines that boot with systemd (root, Debian; five minutes)
	@$(SETUP) packages
	@$(RUN) -m pytest tests/packages -n $(JOBS) --dist loadgroup $(ARGS)

lock: venv ## Choose the newest versions of the libraries that the packages bring along (needs the network)
	@packaging/libraries.sh lock

release: venv ## Prepare a release up to its tag: make release VERSION=0.4.0 (see docs/releasing.md)
	@scripts/release.sh "$(VERSION)"

setup: node venv ## Only set up (what the others do by themselves)

clean: ## Remove what was made here, the virtual environment included; system packages stay
	@rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(SETUP) venv

node:
	@$(SETUP) node
