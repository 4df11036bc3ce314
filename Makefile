# Every target is a name for one command; `make` alone prints them.

# The target directory of cargo: environment variables and cargo's configuration may name it. Asked once, where it is needed.
TARGET    = $(eval TARGET := $$(or $$(shell PATH="$$(PATH)" cargo metadata --format-version 1 --no-deps 2>/dev/null | \
              sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'),target))$(TARGET)
STACKS    = "$(TARGET)/release/stacks"
TRIALS    = "$(TARGET)/debug/trials"
INSTALL  := stacks/local/install
# What `make up` runs, and so all that it compiles.
PACKAGES := -p gateway -p payment -p mailer -p stacks
BUILDING := gcc libc6-dev protobuf-compiler

export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
# Every target below stands for a command, and none for a file.
.PHONY: built cargo command $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile)

help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

##@ The local stack (no Docker)

up: ## install, build and start everything, place one order, show its trace: make up [RATE_LIMIT=redis]
	@$(INSTALL) $(BUILDING) rabbitmq-server $(if $(filter redis,$(or $(RATE_LIMIT),$(shell sed -n 's/^RATE_LIMIT=//p' .env 2>/dev/null))),redis-server)
	@$(MAKE) --no-print-directory build
	@$(STACKS) up

down: built ## stop everything that runs, here or in Docker; data stays
	@$(STACKS) down

status: built ## show what runs and whether it is ready
	@$(STACKS) status

console: built ## print the link to the console: orders as they travel, on one page
	@$(STACKS) console

order: built ## place another order and show its trace
	@$(STACKS) order

##@ The Docker stacks, services included

up-classic: ## Prometheus, Alertmanager, Grafana, Loki and Jaeger
up-lgtm: ## Loki, Grafana, Tempo and Mimir; in place of Classic
up-elk: ## Elasticsearch, Logstash, Kibana, Filebeat and APM Server; alone, or beside one of the others
down-classic: ## stop Classic; data stays, and a stack beside it runs on
down-lgtm: ## stop LGTM
down-elk: ## stop ELK

up-classic up-elk up-lgtm: up-%: command
	@$(STACKS) up --stack $*

down-classic down-elk down-lgtm: down-%: built
	@$(STACKS) down --stack $*

doctor: command ## check this machine for the Docker stacks, and say what to do
	@$(STACKS) doctor

##@ Training

drill: built ## cause an alert, wait for its delivery, repair the cause: make drill [ALERT=<name>] [PACE=shipped]
	@$(STACKS) drill $(if $(ALERT),--alert $(ALERT)) $(if $(PACE),--pace $(PACE))

incident: built ## break something without naming it: make incident [SEED=<n>]
	@$(STACKS) incident $(if $(SEED),--seed $(SEED))

answer: built ## name the incident and the query that shows it, and repair it
	@$(STACKS) answer

##@ Orders

trace: built ## the trace of one order as a tree: make trace ORDER=<id>
	@$(STACKS) trace $(if $(TRACE),--trace $(TRACE),--order $(or $(ORDER),$(error say which: make trace ORDER=<id>, or TRACE=<id>)))

logs: built ## log lines of all services: make logs [ORDER=<id>|TRACE=<id>] [FOLLOW=1] [LINES=<n>]
	@$(STACKS) logs $(if $(ORDER),--order $(ORDER)) $(if $(TRACE),--trace $(TRACE)) $(if $(filter-out 0 no,$(FOLLOW)),--follow) $(if $(LINES),--lines $(LINES))

dead-letters: built ## e-mails and messages that were given up: age, state, order, trace, reason
	@$(STACKS) dead-letters

dead-letter: built ## one dead letter: attempts, answers, event, trace: make dead-letter EVENT=<id> [JSON=1]
	@$(STACKS) dead-letter --event $(or $(EVENT),$(ID),$(error say which: make dead-letter EVENT=<id>)) $(if $(filter-out 0 no,$(JSON)),--json)

replay: built ## replay dead letters: make replay EVENT=<id>, or EVENT=all
	@$(STACKS) replay $(if $(filter all,$(EVENT)),--all,--event $(or $(EVENT),$(error say which: make replay EVENT=<id>, or EVENT=all)))

discard: built ## give dead letters up for good: make discard EVENT=<id>, or EVENT=all
	@$(STACKS) discard $(if $(filter all,$(EVENT)),--all,--event $(or $(EVENT),$(error say which: make discard EVENT=<id>, or EVENT=all)))

##@ Proof and measurement

prove: built ## place orders and find the telemetry of each: make prove [STACK=local|classic|elk|lgtm] [ORDERS=20] [RATE=20] [JSON=1]
	@$(STACKS) prove $(if $(STACK),--stack $(STACK)) $(if $(ORDERS),--orders $(ORDERS)) $(if $(RATE),--rate $(RATE)) $(if $(filter-out 0 no,$(JSON)),--json)

record: built ## record what the servers of the running stack answer, for the tests of their clients: make record [STACK=<name>] [STAND_INS="<server> …"]
	@$(STACKS) record $(if $(STACK),--stack $(STACK)) $(foreach server,$(STAND_INS),--stand-in $(server))

compare: cargo ## measure the stacks with the same orders: make compare [STACK=<name>] [ORDERS=1000]; writes docs/comparison.md
	@$(INSTALL) $(BUILDING) rabbitmq-server
	@cargo build --release --locked $(PACKAGES) -p trials
	@"$(TARGET)/release/trials" compare $(if $(STACK),--stack $(STACK)) $(if $(ORDERS),--orders $(ORDERS))

load: built ## place good, declined and invalid orders at a steady rate: make load [RATE=50] [FOR=1m]
	@$(STACKS) load $(if $(RATE),--rate $(RATE)) $(if $(FOR),--for $(FOR))

##@ Development

build: cargo ## build the services and the command `stacks` in release mode
	@cargo build --release --locked $(PACKAGES)

# For the Docker stacks: the images contain the services. Where `make up` has built them already, cargo is given the same
# packages as there: with fewer, the crates that they share have fewer features and are compiled again.
command: cargo
	@$(INSTALL) $(BUILDING)
	@if [ -e "$(TARGET)/release/gateway" ]; then cargo build --release --locked $(PACKAGES); \
	else cargo build --release --locked -p stacks; fi

cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs"; exit 1; }

built:
	@[ -x $(STACKS) ] || { echo "nothing is built yet: run make up"; exit 1; }

test: ## check format, lints, docs and dependencies, and run all tests; installs what it needs
	@$(INSTALL) $(BUILDING) chromium chromium-driver curl rabbitmq-server postgresql pgbouncer prometheus prometheus-alertmanager python3-jsonschema python3-pip python3-prometheus-client python3-venv redis-server shellcheck sqlite3
	@python3 -m pip install --quiet --upgrade --target "$(TARGET)/python" opentelemetry-proto==1.45.2 2>/dev/null || \
	  echo "opentelemetry-proto: SKIPPED, cannot install it; no other implementation decodes the metrics"
	@$(MAKE) --no-print-directory lint docs deny package
	cargo build --workspace --all-features --locked
	"$(TARGET)/debug/stacks" check
	$(TRIALS) broker -- $(TRIALS) postgres -- cargo test --workspace --all-features --locked

check-stacks: ## check that Compose files, rules, alerts, dashboards, runbooks and services fit the registry of telemetry
	@$(INSTALL) $(BUILDING) rabbitmq-server prometheus prometheus-alertmanager
	cargo build --workspace --all-features --locked
	"$(TARGET)/debug/stacks" check

registry: cargo ## write the tables of docs/telemetry/registry into the documents
	cargo build --workspace --all-features --locked
	"$(TARGET)/debug/stacks" registry

faults: ## break the system under load, and check that no order is lost or doubled: make faults [FAULT=<name>] [SEED=<n>] [ORDERS=<n>]
	@$(INSTALL) $(BUILDING) rabbitmq-server sqlite3 postgresql faketime libnss-wrapper e2fsprogs
	cargo build --workspace --all-features --locked
	$(TRIALS) faults --report "$(TARGET)/faults.json" $(if $(FAULT),--fault $(FAULT)) $(if $(SEED),--seed $(SEED)) $(if $(ORDERS),--orders $(ORDERS))

campaign: cargo ## break the system at random for hours, under a steady load: make campaign HOURS=<n> [SEED=<n>] [RATE=<orders/s>]
	@$(INSTALL) $(BUILDING) rabbitmq-server sqlite3
	@cargo build --release --locked $(PACKAGES) -p trials
	@"$(TARGET)/release/trials" campaign --report "$(TARGET)/campaign.json" --hours $(or $(HOURS),$(error say for how long: make campaign HOURS=1)) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE))

mutants: ## give the services one bug after the other, and check that each is caught: make mutants [MUTANT=<name>] [SEED=<n>]
	@$(INSTALL) $(BUILDING) rabbitmq-server sqlite3 postgresql faketime libnss-wrapper e2fsprogs
	cargo build --workspace --all-features --locked
	$(TRIALS) mutants --report "$(TARGET)/mutants.json" $(if $(MUTANT),--mutant $(MUTANT)) $(if $(SEED),--seed $(SEED))

bench: cargo ## measure an order: make bench [BASE=<revision>] [DATABASE=postgres [DELAY=1ms]] [GROWTH=<orders>] [ROUNDS=<n>] [SECONDS=<n>]; writes docs/bench.md
	@$(INSTALL) $(BUILDING) rabbitmq-server $(if $(filter postgres,$(DATABASE)),postgresql) $(if $(GROWTH),sqlite3)
	@cargo build --release --locked $(PACKAGES) -p trials
	@"$(TARGET)/release/trials" bench --report "$(TARGET)/bench.json" $(if $(BASE),--base $(BASE)) $(if $(DATABASE),--database $(DATABASE)) $(if $(DELAY),--delay $(DELAY)) $(if $(GROWTH),--growth $(GROWTH)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS))

# Instrumented as nightly's cargo-fuzz would, without its sanitizers: none of the targets reaches unsafe code of ours.
fuzz: ## search with libFuzzer for input that breaks a promise: make fuzz [FUZZ_SECONDS=30], for each target
	@$(INSTALL) $(BUILDING) g++
	@cargo fuzz --version >/dev/null 2>&1 || { echo "installing cargo-fuzz"; cargo install --locked --debug cargo-fuzz; }
	@cp Cargo.lock fuzz/Cargo.lock
	@for target in order event spool_segment trace_context; do \
	  mkdir -p fuzz/corpus/$$target && \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target \
	    -- -max_total_time=$(or $(FUZZ_SECONDS),30) -timeout=10 -print_final_stats=1 || exit 1; \
	done

lint: ## check the format, run clippy with warnings denied, and check each feature of telemetry alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- --deny warnings
	@for features in "" actix amqp clap testing; do \
	  cargo check --package telemetry --no-default-features --features "$$features" --locked || exit 1; \
	done

package: ## package telemetry as for a registry, and build what a user would get
	cargo package --package telemetry --locked --allow-dirty

deny: ## check licences, sources, bans and the arrows between crates; advisories where their database can be reached
	@cargo deny --version >/dev/null 2>&1 || { echo "installing cargo-deny"; cargo install --locked --debug cargo-deny; }
	cargo deny --locked check -A unused-wrapper bans licenses sources
	@if cargo deny --locked fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
	else echo "advisories: SKIPPED, cannot reach their database"; fi

screenshots: ## take the pictures of the console from a running system: docs/console.png
	@$(INSTALL) $(BUILDING) chromium chromium-driver fonts-inter fonts-jetbrains-mono rabbitmq-server
	cargo build --workspace --all-features --locked
	$(TRIALS) broker -- cargo test --workspace --all-features --locked --test system console::screenshots -- --ignored

docs: ## build the documentation of all crates, warnings denied
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --all-features --no-deps --locked

clean: ## stop everything and remove its data, logs, secrets and volumes, after asking
	@printf 'Stop everything that runs and remove var/, logs/, .env and the volumes of the Docker stacks? [y/N] '; read answer; \
	case "$$answer" in \
	  [yY]*) if [ -x $(STACKS) ]; then $(STACKS) down --volumes || exit 1; fi; rm -rf var logs .env; echo "removed" ;; \
	  *) echo "kept, and nothing stopped" ;; \
	esac
