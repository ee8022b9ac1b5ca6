#!/bin/sh
# Before the app is packed: compile what writes ordinary records, if this machine can do it for Azure's.
# Without it the app does the same in Python, in several times the time; so this never fails.
set -u
cd "$(dirname "$0")/../.." || exit 0

not_compiled() {
  printf 'Flowlog: %s\n' "not compiled: $1." \
    'The app will run all the same, and take several times as long for normalizing.'
  exit 0
}

# What was compiled before may be of other sources; and to write over it would end those who run it.
rm -rf build/compiled build/lib* build/temp* build/bdist* flowlog_core/_tuple_writer.abi3.so

machine="$(uname -s) $(uname -m)"
[ "$machine" = 'Linux x86_64' ] || not_compiled "Azure runs on Linux x86_64, this is $machine"

said=$(python3 -m pip install --quiet --disable-pip-version-check --no-deps \
  --target build/compiled . 2>&1) || not_compiled "pip says: $said"
library=build/compiled/flowlog_core/_tuple_writer.abi3.so
[ -f "$library" ] || not_compiled 'a C compiler and the headers of Python are needed'
cp "$library" flowlog_core/ || not_compiled "flowlog_core/ cannot be written to"
echo "Flowlog: compiled $(basename "$library")."
