extern int repl_placeholder; int repl_placeholder;
