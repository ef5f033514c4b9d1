#!/bin/bash
# librdkafka's own test suite against a running broker.
#
#   librdkafka.sh BOOTSTRAP OUT     one line per entry: `pass|fail|skip librdkafka[-MODE] <entry>
#                                   <seconds> [note]`, then the totals; 1 when one failed
#   librdkafka.sh --prepare         fetches and builds it, runs nothing
#
# in the environment:
#   GATE=m1     only tests that need no groups and no transactions (lists/librdkafka-m1.txt)
#   ONLY        a hand-picked set of numbers instead
#   MODE        classic (default) | consumer | share | idempotent | noautocreate | local
#   QUICK=1     only the sub-tests that the suite itself calls quick
#   JOBS        tests at a time (default 1); RETRY: how often a failed one is run again alone (1)
#   TIMEOUT     seconds per test number (900); MULTIPLIER of the suite's own limits (3)
#   CLIENT_ID=1 every client of test NNNN calls itself test-NNNN
#   CONF        extra librdkafka properties, one per line
#   CACHE       where it is unpacked and built; KAFKA_LIBS: Kafka's jars, for its tools
set -u
here=$(cd "$(dirname "$0")" && pwd)
export HERE=$here
CACHE=${CACHE:-$here/../../build/clients}
PACKAGE=${PACKAGE:-@confluentinc/kafka-javascript@1.10.1}  # carries librdkafka 2.15.1 and its tests

prepare() {
  local home=$1/librdkafka
  [ -x "$home/package/deps/librdkafka/tests/test-runner" ] && return
  mkdir -p "$home"
  (
    set -e
    cd "$home"
    archive=$(npm pack --silent "$PACKAGE" | tail -n 1)
    tar xzf "$archive" package/deps/librdkafka
    cd package/deps/librdkafka
    ./configure --disable-optimization        # halves the time to build it
    make -j"$(nproc)" libs                    # not `all`: the package leaves out the examples
    make -j"$(nproc)" -C tests test-runner
  ) > "$home/build.log" 2>&1
  local status=$?
  [ $status = 0 ] || tail -n 5 "$home/build.log"
  return $status
}

mkdir -p "$CACHE"
CACHE=$(realpath "$CACHE")
if [ "${1:-}" = --prepare ]; then prepare "$CACHE"; exit; fi
[ $# -ge 2 ] || { sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2; }
prepare "$CACHE" || { echo "librdkafka's tests could not be built"; exit 2; }

BOOTSTRAP=$1
mkdir -p "$2"
OUT=$(realpath "$2")
MODE=${MODE:-classic} JOBS=${JOBS:-1} RETRY=${RETRY:-1}
suite=$CACHE/librdkafka/package/deps/librdkafka
KAFKA_PATH=$("$here/kafka_shim.sh" "${KAFKA_LIBS:-$here/../../build/kafka-libs}" "$CACHE/kafka") ||
  exit 2
conf=$OUT/librdkafka.conf
{
  echo "bootstrap.servers=$BOOTSTRAP"
  echo "broker.address.family=v4"
  echo "test.topic.random=true"
  echo "test.timeout.multiplier=${MULTIPLIER:-3}"
  [ -z "${CONF:-}" ] || echo "$CONF"
} > "$conf"
unset BROKER_ADDRESS_2
export KAFKA_PATH OUT conf TIMEOUT=${TIMEOUT:-900} CLIENT_ID=${CLIENT_ID:-}
export LD_LIBRARY_PATH=$suite/src:$suite/src-cpp RDKAFKA_TEST_CONF=$conf BROKERS=$BOOTSTRAP
export TEST_KAFKA_VERSION=${TEST_KAFKA_VERSION:-4.1.0}
cd "$suite/tests" || exit 2

name=librdkafka arguments="-p1 -L" only=${ONLY:-}
case $MODE in
  classic) ;;
  consumer) name=librdkafka-consumer; export TEST_CONSUMER_GROUP_PROTOCOL=consumer ;;
  share) name=librdkafka-share; TEST_KAFKA_VERSION=4.2.0; only=${only:-$(seq -f '0%g' 170 185)} ;;
  idempotent) name=librdkafka-idempotent; arguments="$arguments -P" ;;
  noautocreate)
    name=librdkafka-noautocreate; arguments="$arguments -s noautocreate"
    only=${only:-0045 0107 0111} ;;
  local) name=librdkafka-local; arguments="-p1 -l" ;;
  *) echo "MODE?"; exit 2 ;;
esac
[ -z "${QUICK:-}" ] || { arguments="$arguments -Q"; name=$name-quick; }
[ -z "${GATE:-}" ] || only=$(sed 's/#.*//' "$here/lists/librdkafka-$GATE.txt")
only=" $(echo $only) "
export ARGUMENTS=$arguments NAME=$name

# 0047 and 0079 are known issues that the suite itself leaves out, 0190 is run by hand.
todo=()
for number in $(ls 0*.c 0*.cpp | sed 's/-.*//' | sort -u); do
  case $number in 0047 | 0079 | 0190) continue ;; esac
  if [ "$only" = "  " ] || [[ $only == *" $number "* ]]; then todo+=("$number"); fi
done

# One process per test number: a failed test takes its process down.
one() {
  local number=$1 try=$2 log=$OUT/$1.log started status
  if [ -n "$CLIENT_ID" ]; then
    { cat "$conf"; echo "client.id=test-$number"; } > "$OUT/$number.conf"
    export RDKAFKA_TEST_CONF=$OUT/$number.conf
  fi
  started=$(date +%s%3N)
  TESTS=$number timeout -k 5 "$TIMEOUT" nice -n 5 ./test-runner $ARGUMENTS > "$log" 2>&1 < /dev/null
  status=$?
  python3 "$HERE/results.py" librdkafka "$log" "$NAME" "$number" "$status" \
    $(($(date +%s%3N) - started)) "$try" > "$OUT/$number.result"
}
export -f one

rm -f "$OUT"/*.result
printf '%s\n' "${todo[@]}" | xargs -P "$JOBS" -I{} bash -c 'one {} 1; cat "$OUT/{}.result"'
for round in $(seq 1 "$RETRY"); do
  for number in $(grep -l '^fail' "$OUT"/*.result 2> /dev/null | sed 's#.*/##;s/\.result//'); do
    cp "$OUT/$number.log" "$OUT/$number.try$round.log"
    one "$number" $((round + 1))
    sed 's/^/again: /' "$OUT/$number.result"
  done
done
cat "$OUT"/*.result > "$OUT/results.txt" 2> /dev/null
python3 "$here/results.py" totals "$OUT/results.txt" || exit
[ -z "${GATE:-}" ] || python3 "$here/hold.py" "$here/lists/kafka-4.3.1.txt" "$OUT/results.txt" \
  --gate "$here/lists/librdkafka-$GATE.txt"
