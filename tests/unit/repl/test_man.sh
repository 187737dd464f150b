#!/bin/sh
# test_man.sh CONURE-REPL PAGE
set -eu
help=$("$1" --help)
words=$(printf '%s\n' "$help" | sed -n -E 's/^  ([a-z]+|-[-a-z]+)[ ,].*/\1/p')
[ "$(printf '%s\n' "$words" | wc -l)" -ge 20 ]
page=$(sed 's/\\-/-/g' "$2")
missing=0
for word in $words; do
    printf '%s\n' "$page" | grep -qE -- "^\.(B|BI|BR) $word( |\$)" && continue
    echo "$2 does not say what $word is"
    missing=1
done
exit $missing
