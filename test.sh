#!/usr/bin/env bash
# Every check there is: the same on a laptop and in CI. Installs what is missing, stops at the
# first failure, and ends with the number of tests that ran.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step "tools"
if ! command -v cc >/dev/null; then
  apt-get update -qq && apt-get install -y -qq gcc libc6-dev >/dev/null
fi
if ! command -v prlimit >/dev/null; then
  apt-get update -qq && apt-get install -y -qq util-linux >/dev/null
fi
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
cargo --version

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --workspace --locked 2>&1 | tee "$log"

step "OpenAPI document is fresh"
cargo run --quiet --locked -- openapi | diff -u openapi.json - || {
  echo "openapi.json is stale: run 'cargo run -- openapi > openapi.json'" >&2
  exit 1
}

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

awk '/^test result:/ { passed += $4; failed += $6 }
     END { printf "\ntests: %d passed, %d failed\n", passed, failed; exit passed == 0 }' "$log"
