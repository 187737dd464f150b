# openapi.json as C: each line a string literal.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
