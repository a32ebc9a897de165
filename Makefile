# run: builds tdrun and its examples, and runs one. test: all that CI runs. check: formatter, lints and docs, before a commit.
# bench: what tdrun takes beside others; bench-instructions: small cases under valgrind; both with options, as in ARGS=--help.
# model: the pieces without locks, in every order that threads may meet in.
# docker: the image. Nothing but cargo and a C compiler is needed, except for bench-instructions and docker.

CARGO ?= cargo
EXAMPLES := target/debug/examples

.PHONY: run test check bench bench-instructions model docker

# The lesson fails on purpose, so its status is 1; any other is passed on.
run:
	$(CARGO) build --examples --bins
	target/debug/tdrun $(EXAMPLES)/libsurgery.so $(ARGS) || test $$? -eq 1

test:
	$(CARGO) build --workspace --bins --examples
	$(CARGO) test --workspace

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps

bench:
	$(CARGO) bench --bench speed -- $(ARGS)

bench-instructions:
	$(CARGO) bench --bench instructions -- $(ARGS)

model:
	LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg model" $(CARGO) test --target-dir target/model --lib model::

docker:
	docker build --tag tdrun .
