#!/bin/bash
# Checks through kafkajs 2.2.4 (kafkajs_checks.js): admin, produce, consume with all codecs, groups,
# transactions.
#
#   kafkajs.sh BOOTSTRAP OUT [name filter]   one line per check: `pass|fail|skip kafkajs <check>
#                                            <seconds>`, then the totals; 1 when one failed
#   kafkajs.sh --prepare                     fetches it, runs nothing
#
# in the environment: GATE=m1 without groups and transactions (kafkajs consumes through groups only,
# so this is admin and produce), RF replication factor (1), CACHE where the packages are
set -u
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-$here/../../build/clients}
packages=(kafkajs@2.2.4 snappyjs@0.7.0 lz4js@0.2.0 zstd-codec@0.1.5)

prepare() {
  local home=$1/kafkajs
  [ -d "$home/node_modules/kafkajs" ] && return
  mkdir -p "$home"
  (cd "$home" && npm init -y && npm install --no-audit --no-fund "${packages[@]}") \
    > "$home/install.log" 2>&1
  local status=$?
  [ $status = 0 ] || tail -n 5 "$home/install.log"
  return $status
}

mkdir -p "$CACHE"
CACHE=$(realpath "$CACHE")
if [ "${1:-}" = --prepare ]; then prepare "$CACHE"; exit; fi
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
prepare "$CACHE" || { echo "kafkajs could not be installed"; exit 2; }
mkdir -p "$2"
OUT=$(realpath "$2")
[ "${GATE:-}" != m1 ] || export WITHOUT_GROUPS=1
NODE_PATH=$CACHE/kafkajs/node_modules NODE_NO_WARNINGS=1 \
  nice -n 5 node "$here/kafkajs_checks.js" "$1" ${3:+"$3"} 2> "$OUT/stderr.log" |
  tee "$OUT/results.txt"
python3 "$here/results.py" totals "$OUT/results.txt"
