# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154 # the sourcing script sets them
# Sourced by scripts that look at how commands end. The script sets `work`, a folder of its own whose
# file `out` takes what a command prints, and reads the counts `passed` and `failed` at its end. For
# `judge` it also sets `name`, what is looked at, and defines the functions
#     said        print what a command has said: `out`, or more
#     left_over   print what it has left behind that it should not have

tick=0.05 # between two looks at a condition
passed=0 failed=0

ok()
{
    passed=$((passed + 1))
    echo "ok   $name"
}

# bad WORD...: why, with what failed in the output, and its end
bad()
{
    failed=$((failed + 1))
    echo "FAIL $name: $*"
    grep -E -A4 '^(FAIL|CRASH|ERROR)' "$work/out" | head -n 40 | sed 's/^/     | /'
    tail -n 25 "$work/out" | sed 's/^/     | /'
}

# expect STATUS WHAT COMMAND...: runs it, and shows what it said when it ends otherwise
expect()
{
    want=$1 name=$2
    shift 2
    "$@" >"$work/out" 2>&1
    status=$?
    if [ "$status" -eq "$want" ]; then
        ok
    else
        bad "status $status, not $want"
    fi
}

# within SECONDS COMMAND...: wait until it succeeds.
within()
{
    looks=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        looks=$((looks - 1))
        [ $looks -gt 0 ] || return 1
        sleep "$tick"
    done
}

# judge STATUS WANTED PATTERN...: of a command that has ended. What it said has to match each
# pattern, and nothing may be left over.
judge()
{
    [ "$1" -eq "$2" ] || {
        bad "exit status $1, expected $2"
        return
    }
    shift 2
    for pattern; do
        said | grep -qE -- "$pattern" || {
            bad "no line matches '$pattern'"
            return
        }
    done
    left=$(left_over)
    [ -z "$left" ] || {
        bad "left behind: $left"
        return
    }
    ok
}
