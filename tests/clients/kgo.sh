#!/bin/bash
# franz-go's own client tests (pkg/kgo) against a running broker, from the Go module proxy.
#
#   kgo.sh BOOTSTRAP OUT      one line per test: `pass|fail|skip kgo[-chaos] <Test> <seconds>`, then
#                             the totals; 1 when one failed
#   kgo.sh --prepare          fetches and builds them, runs nothing
#
# in the environment:
#   GATE=m1    only tests that need no groups and no transactions (lists/kgo-m1.txt)
#   RUN        a -run pattern instead; by default every test that talks to a broker; ALL=1: all
#   CHAOS=1    every client connection dies after 0.5 to 1.5 s
#   RF         replication factor (1); RECORDS per pipeline (100000); COUNT repetitions (1)
#   TIMEOUT    of the whole run (20m); CACHE: where it is built
set -u
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-$here/../../build/clients}
VERSION=${VERSION:-v1.22.2}

# The suite needs a newer Go than Debian 12 has. A Go of at least 1.21 fetches it by itself; an older
# one fetches the tool chain as the module that it is.
tool_chain() {
  local wanted=1.26.0 have home dir
  have=$(go version | sed -n 's/^go version go\([0-9]*\.[0-9]*\).*/\1/p')
  if [ "$(printf '%s\n' "${wanted%.*}" "$have" | sort -V | head -n 1)" = "${wanted%.*}" ]; then
    return
  fi
  if [ "$(printf '%s\n' 1.21 "$have" | sort -V | head -n 1)" = 1.21 ]; then
    export GOTOOLCHAIN=go$wanted
    return
  fi
  home=$1/go
  if [ ! -x "$home/bin/go" ]; then
    dir=$(cd "$1" && go mod download -json \
      "golang.org/toolchain@v0.0.1-go$wanted.$(go env GOOS)-$(go env GOARCH)" |
      sed -n 's/^\s*"Dir": "\(.*\)",\?$/\1/p')
    [ -n "$dir" ] || return 1
    mkdir -p "$home"
    cp -r "$dir/." "$home/"
    chmod -R u+w "$home"
    find "$home" -name _go.mod -execdir mv {} go.mod \;
    chmod -R +x "$home/bin" "$home/pkg/tool"
  fi
  export PATH=$home/bin:$PATH GOTOOLCHAIN=local
}

# Leaves kgo.test and the path of its sources in $1/kgo.
prepare() {
  local home=$1/kgo
  [ "$(cat "$home/version" 2> /dev/null)" = "$VERSION" ] && return
  mkdir -p "$home"
  (
    set -e
    tool_chain "$home"
    cd "$home"
    printf 'module suite\n\ngo 1.23\n' > go.mod
    export GOFLAGS=-mod=mod
    go get "github.com/twmb/franz-go@$VERSION"
    go test -c -o kgo.test github.com/twmb/franz-go/pkg/kgo
    echo "$(go list -m -f '{{.Dir}}' github.com/twmb/franz-go)/pkg/kgo" > sources
    echo "$VERSION" > version
  ) > "$home/build.log" 2>&1
  local status=$?
  [ $status = 0 ] || tail -n 5 "$home/build.log"
  return $status
}

mkdir -p "$CACHE"
CACHE=$(realpath "$CACHE")
if [ "${1:-}" = --prepare ]; then prepare "$CACHE"; exit; fi
[ $# -ge 2 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
prepare "$CACHE" || { echo "franz-go's tests could not be built"; exit 2; }

mkdir -p "$2"
OUT=$(realpath "$2")
sources=$(cat "$CACHE/kgo/sources")
name=kgo
[ -z "${CHAOS:-}" ] || { name=kgo-chaos; export KGO_TEST_CHAOS=1; }
export KGO_SEEDS=$1 KGO_TEST_RF=${RF:-1} KGO_TEST_RECORDS=${RECORDS:-100000}
export KGO_LOG_LEVEL=${KGO_LOG_LEVEL:-none}
run=${RUN:-}
if [ -n "${GATE:-}" ]; then
  run="^($(sed 's/ *#.*//; /^$/d' "$here/lists/kgo-$GATE.txt" | paste -sd '|'))\$"
elif [ -z "$run" ] && [ -z "${ALL:-}" ]; then
  run=$(python3 "$here/results.py" kgo-live "$sources")
fi
(
  cd "$sources" && nice -n 5 "$CACHE/kgo/kgo.test" -test.v -test.run "${run:-.}" \
    -test.count "${COUNT:-1}" -test.timeout "${TIMEOUT:-20m}"
) > "$OUT/kgo.log" 2>&1
python3 "$here/results.py" kgo "$OUT/kgo.log" "$name" > "$OUT/results.txt"
cat "$OUT/results.txt"
python3 "$here/results.py" totals "$OUT/results.txt" || exit
[ -z "${GATE:-}" ] || python3 "$here/hold.py" "$here/lists/kafka-4.3.1.txt" "$OUT/results.txt" \
  --gate "$here/lists/kgo-$GATE.txt"
