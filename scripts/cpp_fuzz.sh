#!/usr/bin/env bash
# Run one of libbskim's fuzzers: scripts/cpp_fuzz.sh tokenizer_json|manifest|text SECONDS
#
# build/fuzz/NAME has the inputs to begin with, and gets those that reach code that none reached before. An input that
# crashes is written to build/fuzz/crash-NAME-*, and runs again by: build/cpp-fuzz/fuzz/fuzz_NAME FILE
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 seconds=$2
mkdir -p "build/fuzz/$name"
options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 -verbosity=0 -print_funcs=0
    -artifact_prefix="build/fuzz/crash-$name-")
if [[ -e build/fuzz/$name.dict ]]; then options+=(-dict="build/fuzz/$name.dict"); fi
echo "fuzz_$name for $seconds seconds"
UBSAN_OPTIONS=print_stacktrace=1 "build/cpp-fuzz/fuzz/fuzz_$name" "${options[@]}" -max_len=20000 "build/fuzz/$name"
