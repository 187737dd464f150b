/* placeholder */ extern int storaged_placeholder; int storaged_placeholder;
