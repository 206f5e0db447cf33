#!/usr/bin/env bash
# Every check there is: the same on a laptop and in CI. Installs what is missing, stops at the
# first failure, and ends with the number of tests that ran, on both databases together.
set -euo pipefail
cd "$(dirname "$0")"

# Beside a private PostgreSQL, unless somebody has one ready for the tests.
if [ -z "${TOLLKEEPER_TEST_POSTGRES_URL:-}" ]; then
  exec scripts/with-postgres ./test.sh "$@"
fi

# A failed test says what and where; frames of the runtime below would bury it.
export RUST_BACKTRACE=0

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
scripts/test-python
scripts/test-browser
cargo --version

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests, on SQLite"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
TOLLKEEPER_TEST_DATABASE=sqlite cargo test --workspace --locked 2>&1 | tee "$log"

# Those that take the chosen database: others would only repeat themselves. (Naming their packages
# instead would build the dependencies once more, with other features.)
step "tests, on PostgreSQL"
choosing=$(grep -rlE 'TestDatabase::fresh|Kind::chosen' crates/*/tests | cut -d / -f 4 | sort -u)
# shellcheck disable=SC2046 # A flag and a name for each.
TOLLKEEPER_TEST_DATABASE=postgres cargo test --workspace --locked \
  $(sed 's/\.rs$//; s/^/--test /' <<<"$choosing") 2>&1 | tee -a "$log"

# By the program that the tests have built: `cargo run` would build the dependencies once more, too.
step "OpenAPI document is fresh"
"${CARGO_TARGET_DIR:-target}/debug/tollkeeper" openapi | diff -u openapi.json - || {
  echo "openapi.json is stale: run 'cargo run -- openapi > openapi.json'" >&2
  exit 1
}

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

awk '/^test result:/ { passed += $4; failed += $6 }
     END { printf "\ntests: %d passed, %d failed\n", passed, failed; exit passed == 0 }' "$log"
