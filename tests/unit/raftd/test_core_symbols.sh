#!/bin/sh
# The core is pure: its archive may want nothing but its own and these. Usage: test_core_symbols.sh ARCHIVE
own=$(nm --defined-only "$1" | awk 'NF == 3 { print $3 }')
allowed="memcpy memmove memset memcmp abort __assert_fail __stack_chk_fail $(echo $own)"
found=$(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u)
[ -n "$found" ] || { echo "no symbols read from $1"; exit 1; }
bad=0
for symbol in $found; do
    case $symbol in __asan_*|__ubsan_*|_GLOBAL_OFFSET_TABLE_) continue ;; esac
    case " $allowed " in *" $symbol "*) ;; *) echo "raftd/core wants $symbol"; bad=1 ;; esac
done
exit $bad
