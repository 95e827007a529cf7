#!/bin/sh
# asv over this checkout, in one documented place:
#
#   benchmarks/asv.sh run        build HEAD's wheel with its extension, and measure it
#   benchmarks/asv.sh compare    HEAD~1 against HEAD, interleaved
#   benchmarks/asv.sh publish    write the pages to .asv/html
#   benchmarks/asv.sh            all three
#
# Further arguments go to asv: `benchmarks/asv.sh run --quick --bench l1` is a first look.
# Needs the [bench] extra, and the commits: asv measures what is committed, not the work tree.
set -eu
cd "$(dirname "$0")/.."

step=${1:-all}
[ $# -gt 0 ] && shift

asv machine --yes >/dev/null

run() { asv run "HEAD^!" "$@"; }

compare() {
    # Exit status 1 says that something got slower, and is news rather than a failure.
    status=0
    asv continuous HEAD~1 HEAD "$@" || status=$?
    [ "$status" -le 1 ]
}

case $step in
    run) run "$@" ;;
    compare) compare "$@" ;;
    publish) asv publish "$@" ;;
    all) run "$@"; compare "$@"; asv publish ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
