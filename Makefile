# Everything a contributor and CI do. A fresh machine needs python3, pip and make.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(or $(shell command -v uv),$(BIN)/uv)
# one more than there are cores: many tests wait for a process that they have started
TEST_PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(min(4, 1 + len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 4)')
MESSAGES := core/mlbuffet/grpc/messages
# these come with the tests' environment; the others' frameworks by `make runtimes`
PLUGINS := plugins/onnx plugins/tensorflow plugins/python plugins/pipeline
OTHERS := $(filter-out $(PLUGINS),$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
INTEGRATIONS := integrations/ray
# where the framework's module has another name than its plugin
MODULE_sklearn := skops
MODULE_litert := ai_edge_litert
MODULE_convert := tf2onnx
# of those whose framework is missing no test runs
FRAMEWORK = $(wildcard $(VENV)/lib/python*/site-packages/$(or $(MODULE_$(notdir $(1))),$(notdir $(1))))
WITHOUT = $(subst $() ,$(comma),$(strip $(foreach one,$(OTHERS),$(if $(call FRAMEWORK,$(one)),,$(one)/*))))
comma := ,
# tests of protocols that a cluster passes as a server does, but for those that read the log of their own process
THROUGH_RAY := tests/test_clients.py $(addprefix tests/server/,test_tritonclient.py grpc_services/test_tritonclient.py \
	test_tensorflow_serving_cases.py test_tensorflow_serving_models.py test_tensorflow_serving_codec.py)
# not of every version pip finds a build for processors alone; the others bring gigabytes of CUDA
TORCH := 2.13.0
MANIFESTS := pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml integrations/*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help env frameworks runtimes ray demo test coverage soak fuzz clients check fix bench campaign reloads crashes isolated kills soak-hours image rollouts schema protos reference pins clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

env: $(VENV)/made ## make .venv with everything
$(VENV)/made: $(MANIFESTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@test -x "$(UV)" || $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt \
		--group dev --editable '.[grpc,testing]' $(patsubst %,--editable %,$(PLUGINS)) pip hatchling
	$(UV) pip install --quiet --python $(BIN)/python --no-deps $(patsubst %,--editable %,$(OTHERS) $(INTEGRATIONS))
	@touch $@

frameworks: env ## install the frameworks of all runtimes, 2.4 GB
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==$(TORCH)+cpu 2>/dev/null || \
		$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --torch-backend cpu torch==$(TORCH)
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt \
		$(patsubst %,--editable %,$(OTHERS))

runtimes: frameworks ## run the tests of all runtimes with their frameworks (SKIPPED=1: those that `make test` skips without)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(if $(SKIPPED),$$(grep -l importorskip tests/runtimes/*.py),tests/runtimes) $(ARGS)

ray: env ## install Ray, and run the tests of mlbuffet-ray; CAMPAIGN=1 with twenty models and five thousand answers
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable integrations/ray
	$(if $(CAMPAIGN),MLBUFFET_CAMPAIGN=1) $(BIN)/pytest tests/integrations $(ARGS)
	MLBUFFET_TEST_SERVE=ray_serving:serve MLBUFFET_KSERVE_PYTHON=$(wildcard build/kserve/bin/python) \
		$(BIN)/pytest $(THROUGH_RAY) -k 'not to_the_log and not of_the_log' $(ARGS)

demo: env ## train a model for each runtime that is installed, serve them, ask them (ONCE=1 ends by itself)
	@$(if $(call FRAMEWORK,plugins/xgboost),,$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode \
		--constraint constraints.txt --editable plugins/xgboost)
	@$(BIN)/python examples/demo.py $(if $(ONCE),--once)

test: env ## run the tests
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

coverage: env ## run the tests and hold branch coverage: core 98 %, plugins 95 %
	$(BIN)/python -m coverage erase
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --include='core/*' --fail-under=98
	$(BIN)/coverage report --include='plugins/*' $(if $(WITHOUT),--omit='$(WITHOUT)') --fail-under=95

soak: env ## send 10 000 malformed requests to a server, and print what became of it
	MLBUFFET_SOAK=10000 $(BIN)/pytest -q -s tests/server/test_soak.py

fuzz: env ## give the decoders of requests 280 000 examples, in a quarter of an hour on two cores, and gRPC 100 000 messages
	MLBUFFET_FUZZ=20000 $(BIN)/pytest -n auto --maxprocesses 4 -q --durations=0 --durations-min=1 tests/server/test_fuzz.py
	MLBUFFET_FUZZ=20000 $(BIN)/pytest -q -s tests/server/grpc_services/test_fuzz.py

clients: env ## run every client of docs/clients.md, KServe's in an environment of its own
	@test -x build/kserve/bin/python || $(UV) venv --quiet --python $(BIN)/python build/kserve
	$(UV) pip install --quiet --python build/kserve/bin/python kserve tensorflow-serving-api 'tritonclient[grpc]' --editable '.[grpc]'
	MLBUFFET_KSERVE_PYTHON=build/kserve/bin/python $(BIN)/pytest tests/test_clients.py tests/test_protos.py tests/deploy/test_kserve.py

check: env ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: env ## mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: env ## measure MLBuffet beside its peers (QUICK=1; CASES="onnx models"; PEERS=KServe,Triton; ROUNDS=5)
	@command -v wrk >/dev/null || { echo 'wrk makes the load: apt-get install wrk'; exit 1; }
	@command -v h2load >/dev/null || { echo 'h2load makes the load of gRPC: apt-get install nghttp2-client'; exit 1; }
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick) $(if $(CASES),--cases $(CASES)) \
		$(if $(PEERS),--peers "$(PEERS)") $(if $(ROUNDS),--rounds $(ROUNDS))

campaign: env ## stop a server under load 50 times, and load and unload one model from 32 threads 256 times each
	MLBUFFET_CAMPAIGN=1 $(BIN)/pytest -q tests/cli/test_sigterm.py
	MLBUFFET_CAMPAIGN=1 $(BIN)/pytest -q tests/server/test_reload.py -k many_threads

reloads: env ## reload a model 1 000 times under load, and print how many requests failed
	PYTHONPATH=tests $(BIN)/python tests/reload_campaign.py 1000

crashes: env ## let one of three models crash 1 000 times under load, and print what became of the others
	PYTHONPATH=tests $(BIN)/python tests/crash_campaign.py $(or $(CRASHES),1000)

isolated: env ## run the tests of the server with every model in a process of its own
	PYTHONPATH=. MLBUFFET_ISOLATE=true $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -m "not in_process" \
		tests/server tests/cli tests/inference tests/isolation $(ARGS)

kills: env ## kill a server 300 times while clients change its models, and look for what is lost or in part
	PYTHONPATH=tests $(BIN)/python tests/kill_campaign.py 300

soak-hours: env ## all of that at once for HOURS=1 or a fraction, over HTTP and gRPC, and print what became of it; on Linux
	@command -v cc unshare >/dev/null || { echo 'the clock of the server is changed by a library: apt-get install gcc util-linux'; exit 1; }
	PYTHONPATH=tests unshare --map-root-user --mount $(BIN)/python -m soak.campaign $(or $(HOURS),1)

image: env ## build deploy/Dockerfile in a root of Debian, as root, and start, ask and stop its containers
	@command -v debootstrap tini dumb-init >/dev/null || { echo 'apt-get install debootstrap tini dumb-init'; exit 1; }
	PYTHONPATH=tests $(BIN)/python tests/image_campaign.py $(if $(RUNTIMES),"RUNTIMES=$(RUNTIMES)")

rollouts: env ## restart two servers behind HAProxy 20 times under load, and print how many requests failed
	@command -v haproxy >/dev/null || { echo 'apt-get install haproxy'; exit 1; }
	MLBUFFET_ROLLOUTS=20 $(BIN)/pytest -q -s tests/deploy/test_rollout.py

schema: env ## renew the JSON schema of model.toml
	$(BIN)/python -c 'from mlbuffet.repository.configuration import schema_text; print(schema_text(), end="")' \
		> core/mlbuffet/repository/model.schema.json

protos: env ## renew what is compiled from .proto files
	for name in $(basename $(notdir $(wildcard $(MESSAGES)/*.proto))); do \
		$(BIN)/python -m grpc_tools.protoc -I$(MESSAGES) --include_imports --pyi_out=$(MESSAGES) \
			--descriptor_set_out=$(MESSAGES)/$$name.binpb $$name.proto && \
		sed 's/^import \(\w*\)_pb2 as/from mlbuffet.grpc.messages import \1 as/' $(MESSAGES)/$${name}_pb2.pyi \
			> $(MESSAGES)/$$name.pyi && rm $(MESSAGES)/$${name}_pb2.pyi || exit 1; done

reference: env ## renew the table of settings in docs/cli.md
	@$(BIN)/python -c 'from pathlib import Path; from mlbuffet.cli.reference import renewed; \
		page = Path("docs/cli.md"); page.write_text(renewed(page.read_text()))'

pins: env ## renew constraints.txt: the versions that the tests run with
	printf '.\ntorch==$(TORCH)\n' | $(UV) pip compile --quiet --universal --upgrade --no-header --no-annotate --no-emit-index-url --all-extras \
		--group dev pyproject.toml - $(patsubst plugins/%,--no-emit-package mlbuffet-%,$(wildcard plugins/*)) \
		--no-emit-package mlbuffet --output-file constraints.txt
	sed -i -E '/^(cuda|nvidia|triton)\b/d' constraints.txt

clean: ## remove what the targets made
	rm -rf $(VENV) build dist
