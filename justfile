# What we do often. `just` lists it.

[private]
default:
    @just --list --unsorted

# Start the gateway with ./gateway.yaml or another config.
run *CONFIG:
    cargo run --bin isthmus -- run {{CONFIG}}

# What to run before a commit: format, lints, tests.
check: fmt clippy test

# Format the code.
fmt:
    cargo fmt --all

# Lint with warnings as errors.
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# Run all tests, or those whose name holds FILTER.
test *FILTER:
    cargo test --workspace {{FILTER}}

# Build the documentation of all crates, with warnings as errors.
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# Write the checked-in generated files anew: schema, reference, snapshots. Review them like code.
bless:
    ISTHMUS_BLESS=1 cargo test --workspace

# Run the official conformance suite through the gateway and beside it.
conformance *ARGUMENTS:
    scripts/install-test-peers
    cargo build --bin isthmus
    scripts/conformance --gateway target/debug/isthmus {{ARGUMENTS}}

# Let the official SDK clients use the example fleet through the gateway.
peers *ARGUMENTS:
    scripts/install-test-peers
    cargo build --workspace --bins
    scripts/test-peers --gateway target/debug/isthmus {{ARGUMENTS}}

# Compare the gateway with a direct call and with nginx. `just bench --help` says how.
bench *ARGUMENTS:
    cargo build --release --bin isthmus
    cargo run --release -p isthmus-benches --bin macro -- {{ARGUMENTS}}

# Check licences and banned crates; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# What CI does, all of it.
ci:
    .ci/run
